package simulation

import "testing"

// A seed that fails is of use only if it makes the same history again.
func TestOneSeedMakesOneHistory(t *testing.T) {
	for s := range seed(runs / 50) {
		first, second := simulate(t, s, mutant{}).history.String(), simulate(t, s, mutant{}).history.String()
		if first != second {
			t.Errorf("seed %d made two histories, which differ in\n%s", s, firstDifference(first, second))
		}
	}
}

// firstDifference shows the first lines in which two texts differ.
func firstDifference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return a[max(0, i-300):min(len(a), i+300)] + "\nand\n" + b[max(0, i-300):min(len(b), i+300)]
}

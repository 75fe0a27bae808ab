// Package sidebyside compares several ways to do the same thing. One benchmark measures
// them in turn, so that other work on the machine, the disk or the server slows all of
// them down equally.
package sidebyside

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Way is one more way to do it.
type Way struct {
	Name string
	Do   func(turn int) error // turn counts from 0
}

// Run has our way, the bare one, and more of them take turns until the benchmark
// is over. It reports the median time of each in microseconds, as
// ours-µs, bare-µs, and by name, and the ratio of the first two. Its ns/op, the
// time of a turn, says nothing and is 0.
func Run(b *testing.B, ours, bare func(turn int) error, more ...Way) {
	b.Helper()
	ways := append([]Way{{"ours", ours}, {"bare", bare}}, more...)
	times := make([][]time.Duration, len(ways))
	for turn := 0; b.Loop(); turn++ {
		// In no order, or one would always meet the garbage collector.
		for _, k := range rand.Perm(len(ways)) {
			began := time.Now()
			err := ways[k].Do(turn)
			times[k] = append(times[k], time.Since(began))
			if err != nil {
				b.Fatalf("%s: %v", ways[k].Name, err)
			}
		}
	}
	medians := make([]float64, len(ways))
	for k, way := range ways {
		slices.Sort(times[k])
		medians[k] = float64(times[k][len(times[k])/2]) / float64(time.Microsecond)
		b.ReportMetric(medians[k], way.Name+"-µs")
	}
	b.ReportMetric(medians[0]/medians[1], "ratio")
	b.ReportMetric(0, "ns/op")
}

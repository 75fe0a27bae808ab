//go:build race

package simulation

// runs is how many runs the tests make under the race detector, which takes ten times as
// long.
const runs = 200

//go:build !race

package simulation

// runs is how many runs the tests make.
const runs = 10_000

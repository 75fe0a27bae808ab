//go:build !race

package storm

// Users is how many users the tests have. scripts/test runs them without the race
// detector, too.
const Users = 1000

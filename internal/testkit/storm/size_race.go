//go:build race

package storm

// Users is how many users the tests have under the race detector, which takes ten
// times as long.
const Users = 150

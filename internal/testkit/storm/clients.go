package storm

import (
	"fmt"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

// FewUsers is how many users a store has that answers over HTTP: such a service takes some
// thousand requests a second, and its imitation far fewer.
const FewUsers = min(Users, 200)

// Clients are the two ways in which stores reach a service: over one client, or each with a
// client of its own, as another process would. It returns what Run wants, over an empty
// store.
type Clients func(t testing.TB, own bool) func() core.TokenBackend

// Test runs a storm of FewUsers over one client, and one of a quarter of them over a client
// each: there, every store asks for every record.
func (c Clients) Test(t *testing.T) {
	for own, users := range map[bool]int{false: FewUsers, true: FewUsers / 4} {
		t.Run(fmt.Sprintf("a client each=%t", own), func(t *testing.T) {
			Run(t, Options{Users: users, Stores: 8, Shuffled: true}, c(t, own)).Want(t, users)
		})
	}
}

// Bench is [Bench] for both ways, with FewUsers.
func (c Clients) Bench(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("a client each=%t", own), func(b *testing.B) {
			Bench(b, Options{Users: FewUsers, Stores: 8}, func(t testing.TB) func() core.TokenBackend { return c(t, own) })
		})
	}
}

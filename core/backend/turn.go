package backend

import (
	"context"

	"github.com/graphtoken/graphtoken/core/internal/turn"
)

// Turn waits until fewer than most others of this process have their turn at resource,
// and then has the caller's; done gives the turn back. With most of zero or less there is
// nothing to wait for.
//
// If a backend's client has a limited number of connections, loads, tries for a lease and
// looks of [Wait] take turns, and use at most three quarters of the connections. A
// holder's save, renewal and release don't ask for a turn, so they always find a
// connection. resource is what owns the connections, such as the client, and is the same
// for all backends that share them. A resource that is nil or can't be compared has no
// turns.
func Turn(ctx context.Context, resource any, most int) (done func(), err error) {
	return turn.Take(ctx, resource, most)
}

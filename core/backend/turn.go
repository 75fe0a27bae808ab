package backend

import (
	"context"

	"github.com/graphtoken/graphtoken/core/internal/turn"
)

// Turn waits until fewer than most callers of this process have a turn at resource, and
// takes a turn; done gives it back. If most is zero or less, Turn doesn't wait.
//
// If a backend's client has a limited number of connections, loads, tries for a lease and
// looks of [Wait] take turns, and use at most three quarters of the connections. A
// holder's save, renewal and release don't ask for a turn, so they always find a
// connection. resource is what owns the connections, such as the client, and is the same
// for all backends that share them. For a resource that is nil or can't be compared, Turn
// doesn't wait.
func Turn(ctx context.Context, resource any, most int) (done func(), err error) {
	return turn.Take(ctx, resource, most)
}

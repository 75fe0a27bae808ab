package backend

import (
	"context"

	"github.com/graphtoken/graphtoken/core/internal/turn"
)

// Turn waits until fewer than most callers of this process have a turn at resource, and
// takes a turn; done gives it back. If most is zero or less, Turn doesn't wait. For a
// resource that is nil or can't be compared, it doesn't wait either.
func Turn(ctx context.Context, resource any, most int) (done func(), err error) {
	return turn.Take(ctx, resource, most)
}

// PoolTurn is [Turn] for three quarters of a pool's connections, but for one at least.
// Loads, tries for a lease and looks of [Wait] take such turns. A holder's save, renewal
// and release don't, so they always find a connection.
//
// pool is what owns the connections, such as the client, and is the same for all backends
// that share them. A number of zero or less says that the pool has no limit.
func PoolTurn(ctx context.Context, pool any, connections int) (done func(), err error) {
	return turn.Take(ctx, pool, max(min(connections, 1), connections*3/4))
}

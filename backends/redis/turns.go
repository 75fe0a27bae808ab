package redis

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// turns bounds how much of the client's pool those take that read, try for a lease
// or wait. A holder's save, renewal and release don't ask for a turn: they find a
// connection, however many others want one.
type turns chan struct{}

// turnsOf are three quarters of a client's connections. What another kind of client
// has isn't known, and isn't bounded.
func turnsOf(client redis.UniversalClient) turns {
	size := 0
	switch c := client.(type) {
	case *redis.Client:
		size = c.Options().PoolSize
	case *redis.ClusterClient:
		size = c.Options().PoolSize // to each node: one node may have all that is asked for
	}
	if size <= 0 {
		return nil
	}
	return make(turns, max(1, size*3/4))
}

// take waits for a turn. It is given back by calling done.
func (t turns) take(ctx context.Context) (done func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

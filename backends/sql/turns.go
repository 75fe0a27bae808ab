package sql

import (
	"context"
	stdsql "database/sql"
	"sync"

	"gorm.io/gorm"
)

// queue bounds how much of a pool those take that read, try for a lease or wait. A
// holder's save, renewal and release don't ask for a turn: they find a connection,
// however many others want one. All Backends of a pool share its queue.
type queue struct {
	free  chan struct{}
	users int
}

var queues = struct {
	sync.Mutex
	of map[*stdsql.DB]*queue
}{of: make(map[*stdsql.DB]*queue)}

// bounded is the pool behind a gorm.ConnPool; nil if that isn't known.
func bounded(pool gorm.ConnPool) *stdsql.DB {
	switch p := pool.(type) {
	case *stdsql.DB:
		return p
	case gorm.GetDBConnector:
		if db, err := p.GetDBConn(); err == nil {
			return db
		}
	}
	return nil
}

// turn waits for a turn, which done gives back. A pool without a bound, which is
// database/sql's default, has no line that anybody could wait in.
func turn(ctx context.Context, pool *stdsql.DB) (done func(), err error) {
	if pool == nil {
		return func() {}, nil
	}
	most := pool.Stats().MaxOpenConnections
	if most == 0 {
		return func() {}, nil
	}
	queues.Lock()
	t := queues.of[pool]
	if t == nil {
		t = &queue{free: make(chan struct{}, max(1, most*3/4))}
		queues.of[pool] = t
	}
	t.users++
	queues.Unlock()
	unuse := func() {
		queues.Lock()
		defer queues.Unlock()
		if t.users--; t.users == 0 {
			delete(queues.of, pool)
		}
	}
	select {
	case t.free <- struct{}{}:
		return func() { <-t.free; unuse() }, nil
	case <-ctx.Done():
		unuse()
		return nil, ctx.Err()
	}
}

// Package turn limits how many goroutines of the process use one resource at one time.
package turn

import (
	"context"
	"reflect"
	"sync"
)

// Take waits until fewer than most others have their turn at resource, and then has the
// caller's; done gives the turn back. With most of zero or less, or a resource that can't
// be compared, there is nothing to wait for.
func Take(ctx context.Context, resource any, most int) (done func(), err error) {
	if most <= 0 || resource == nil || !reflect.ValueOf(resource).Comparable() {
		return func() {}, nil
	}
	q := queues.join(resource, most)
	select {
	case q.turns <- struct{}{}:
		return func() {
			<-q.turns
			queues.leave(resource, q)
		}, nil
	case <-ctx.Done():
		queues.leave(resource, q)
		return nil, ctx.Err()
	}
}

// queues are those that somebody is in.
var queues = queueSet{of: make(map[any]*queue)}

type queueSet struct {
	mu sync.Mutex
	of map[any]*queue
}

type queue struct {
	turns chan struct{}
	users int // guarded by queueSet.mu
}

func (s *queueSet) join(resource any, most int) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.of[resource]
	if q == nil {
		q = &queue{turns: make(chan struct{}, most)}
		s.of[resource] = q
	}
	q.users++
	return q
}

func (s *queueSet) leave(resource any, q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(s.of, resource)
	}
}

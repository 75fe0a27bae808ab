// Package turn limits how many goroutines of the process use one resource at one time.
package turn

import (
	"context"
	"reflect"
	"sync"
)

// Take waits until fewer than most callers have a turn at resource, and takes a turn; done
// gives it back. If most is zero or less, or resource can't be compared, Take doesn't wait.
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

// queues has a queue for each resource at which a caller has a turn, or waits for one.
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

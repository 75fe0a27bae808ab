package sql

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// looked is the result of a look at a record.
type looked struct {
	version core.Version
	left    time.Duration // of its lease; zero or less if there is none
}

// look returns the version of a record, core.Absent if none is stored, and how much
// longer its lease lasts.
func (b *Backend) look(ctx context.Context, key string) (core.Version, time.Duration, error) {
	found, err := b.lookAt(ctx, []string{key})
	return found[key].version, found[key].left, err
}

// lookAt looks at many records, with one statement for as many as its largest form takes.
// Records that are absent, and not leased either, are left out.
func (b *Backend) lookAt(ctx context.Context, keys []string) (map[string]looked, error) {
	found := make(map[string]looked, len(keys))
	largest := len(b.sql.look) - 1
	for some := range slices.Chunk(keys, len(b.sql.look[largest].params)) {
		size := slices.IndexFunc(b.sql.look, func(s statement) bool { return len(s.params) >= len(some) })
		s := b.sql.look[size]
		values := make([]any, len(s.params))
		for i := range values {
			values[i] = b.prefix + some[min(i, len(some)-1)] // the last key fills the remaining places
		}
		err := b.attempt(ctx, func(on session) error {
			return on.each(ctx, s, values, func(scan func(...any) error) error { return b.noteLook(found, scan) })
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// noteLook notes a row of the result.
func (b *Backend) noteLook(found map[string]looked, scan func(...any) error) error {
	var (
		stored        bool
		key           string
		version, left int64 // microseconds
	)
	if err := scan(&key, &stored, &version, &left); err != nil {
		return err
	}
	one := looked{core.Absent, time.Duration(left) * time.Microsecond}
	if stored {
		one.version = versionOf(version)
	}
	found[strings.TrimPrefix(key, b.prefix)] = one
	return nil
}

// together is how long a look waits for others, so that one statement does for all.
const together = 10 * time.Millisecond

// looks are the looks that wait for others.
type looks struct {
	mu   sync.Mutex
	next *question // nil: there is none
}

// question is one look for all that ask within a short time.
type question struct {
	keys  map[string]struct{}
	done  chan struct{} // closed when found and err are set
	found map[string]looked
	err   error
}

// lookWithOthers is look, together with others that look at nearly the same time.
func (b *Backend) lookWithOthers(ctx context.Context, key string) (core.Version, time.Duration, error) {
	q := b.ask(ctx, key)
	select {
	case <-q.done:
		return q.found[key].version, q.found[key].left, q.err
	case <-ctx.Done():
		return "", 0, ctx.Err()
	}
}

func (b *Backend) ask(ctx context.Context, key string) *question {
	b.looks.mu.Lock()
	defer b.looks.mu.Unlock()
	q := b.looks.next
	if q == nil {
		q = &question{keys: make(map[string]struct{}), done: make(chan struct{})}
		b.looks.next = q
		time.AfterFunc(together, func() { b.answer(context.WithoutCancel(ctx), q) })
	}
	q.keys[key] = struct{}{}
	return q
}

// lookTimeout ends a look at a database that doesn't answer.
const lookTimeout = 10 * time.Second

// answer looks when the pool has a turn for it; until then others join.
func (b *Backend) answer(ctx context.Context, q *question) {
	defer close(q.done)
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	done, err := b.turn(ctx)
	keys := b.closeQuestion()
	if err != nil {
		q.err = err
		return
	}
	defer done()
	q.found, q.err = b.lookAt(ctx, keys)
}

// closeQuestion ends the time in which others can join.
func (b *Backend) closeQuestion() (keys []string) {
	b.looks.mu.Lock()
	defer b.looks.mu.Unlock()
	for key := range b.looks.next.keys {
		keys = append(keys, key)
	}
	b.looks.next = nil
	return keys
}

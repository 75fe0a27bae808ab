package backend

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/internal/jitter"
)

// Watch says how those who wait for another's refresh look at the store.
type Watch struct {
	// Place is which store this is, as [core.Locator] tells it: all who wait in this
	// process for a key of equal places share one loop, and so one look. A place that
	// can't be compared, or nil, is nobody else's.
	Place any

	// Name is what Place and Wakes know the key by. Empty means the key itself.
	Name string

	// Look returns the version that is stored, core.Absent where nothing is, and how
	// long the key's lease lasts yet: zero or less where it is free, and [Held] where
	// the store doesn't tell how long. It is one cheap question to the store. Its
	// context ends after 10 seconds, and not with that of anybody who waits.
	Look func(ctx context.Context, key string) (stored core.Version, left time.Duration, err error)

	// First is how long after somebody began to wait there is a look, and Last how
	// long there is none at most: from First on, each pause is 8/5 of the one before.
	// Where Last is zero, nobody looks without being woken, but when the lease ends.
	First, Last time.Duration

	// MostLooks bounds the looks a second at all records of Place together. Zero
	// sets no bound.
	MostLooks int

	// Wakes wakes those who wait as soon as the store tells of a change. It may be
	// nil. Changes can get lost on the way: while it hears of changes, there is a look
	// after Heard at the latest, and where Heard is zero, after Last.
	Wakes *Wakes
	Heard time.Duration
}

// Held is how long a lease lasts that is held, nobody knows for how long.
const Held = time.Duration(1<<63 - 1)

// lookTimeout ends a look at a store that doesn't answer.
const lookTimeout = 10 * time.Second

// Wait is the whole of a Watcher's Wait: it returns nil once another version than
// seen is stored, or the lease of op.Key is free; ctx's error when ctx is done; and
// the error of a look.
//
//	func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
//		return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
//			Place: b.Place(),
//			Look:  b.look,
//			First: 100 * time.Millisecond,
//			Last:  2 * time.Second,
//		})
//	}
//
// However many wait for a record in this process, one of them looks.
func Wait(ctx context.Context, op Op, seen core.Version, w Watch) error {
	return Do(ctx, op, func() error {
		if w.Name == "" {
			w.Name = op.Key
		}
		one := &waiter{seen: seen, over: make(chan error, 1)}
		k := watches.join(context.WithoutCancel(ctx), op.Key, w, one)
		defer watches.leave(k, one)
		select {
		case err := <-one.over:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// watches are the records that somebody waits for in this process.
var watches = watchSet{of: make(map[watchID]*watch), places: make(map[any]int)}

type watchSet struct {
	mu     sync.Mutex
	of     map[watchID]*watch
	places map[any]int // how many records of each are watched
}

type watchID struct {
	place any
	name  string
}

// watch is one record, at which one goroutine looks for all who wait.
type watch struct {
	Watch
	id      watchID
	key     string
	waiters map[*waiter]struct{} // guarded by watchSet.mu
	joined  chan struct{}        // receives when a waiter came
	over    chan struct{}        // closed when nobody waits
}

type waiter struct {
	seen core.Version
	over chan error // receives once
}

func (s *watchSet) join(ctx context.Context, key string, w Watch, one *waiter) *watch {
	if w.Place == nil || !reflect.ValueOf(w.Place).Comparable() {
		w.Place = new(byte)
	}
	id := watchID{w.Place, w.Name}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.of[id]
	if k == nil {
		k = &watch{Watch: w, id: id, key: key, waiters: make(map[*waiter]struct{}), joined: make(chan struct{}, 1), over: make(chan struct{})}
		s.of[id] = k
		s.places[id.place]++
		go k.run(ctx)
	} else {
		signal(k.joined, struct{}{})
	}
	k.waiters[one] = struct{}{}
	return k
}

func (s *watchSet) leave(k *watch, one *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(k, one)
}

// remove takes away one who waits no longer. The mu is held.
func (s *watchSet) remove(k *watch, one *waiter) {
	if _, waits := k.waiters[one]; !waits {
		return
	}
	delete(k.waiters, one)
	if len(k.waiters) > 0 {
		return
	}
	delete(s.of, k.id)
	if s.places[k.id.place]--; s.places[k.id.place] == 0 {
		delete(s.places, k.id.place)
	}
	close(k.over)
}

// answer ends the wait of those whom due names.
func (s *watchSet) answer(k *watch, err error, due func(*waiter) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range k.waiters {
		if due(one) {
			one.over <- err
			s.remove(k, one)
		}
	}
}

// watched is how many records of a place are watched.
func (s *watchSet) watched(place any) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places[place]
}

// run looks until nobody waits.
func (k *watch) run(ctx context.Context) {
	heard := k.Wakes.join(k.Name)
	defer heard.leave()
	timer := time.NewTimer(k.First)
	defer timer.Stop()
	next, pause, looked := time.Now().Add(k.First), k.First, false
	for {
		select {
		case <-k.over:
			return
		case <-k.joined:
			// Somebody who came later may have seen an older version.
			pause = k.First
			if soon := time.Now().Add(k.First); soon.Before(next) {
				next = soon
				timer.Reset(k.First)
			}
			continue
		case change := <-heard.changes:
			if change.saved != core.Absent {
				watches.answer(k, nil, func(one *waiter) bool { return one.seen != change.saved })
			} else if change.first && !looked {
				continue // the first look comes soon, and misses nothing
			}
		case <-timer.C:
		}
		select {
		case <-k.over: // a look would be for nobody
			return
		default:
		}
		left := k.look(ctx)
		looked = true
		rest := k.rest(&pause, heard.live())
		if left != Held {
			rest = min(rest, left+time.Millisecond)
		}
		next = time.Now().Add(rest)
		timer.Reset(rest)
	}
}

// look looks once, and returns how long the lease lasts yet.
func (k *watch) look(ctx context.Context) (left time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stored, left, err := k.Look(ctx, k.key)
	watches.answer(k, err, func(one *waiter) bool { return err != nil || left <= 0 || one.seen != stored })
	return max(left, 0)
}

// never is a pause that somebody ends.
const never = 24 * time.Hour

// rest is the next pause, and makes pause the one after that.
func (k *watch) rest(pause *time.Duration, live bool) time.Duration {
	last := k.Last
	if last == 0 {
		last = never
		*pause = never
	}
	*pause = max(*pause, time.Millisecond)
	rest := min(*pause, last)
	*pause = min(*pause*8/5, last)
	if live {
		rest = last
		if k.Heard > 0 {
			rest = k.Heard
		}
	}
	if k.MostLooks > 0 {
		rest = max(rest, time.Duration(watches.watched(k.id.place))*time.Second/time.Duration(k.MostLooks))
	}
	return jitter.Around(rest)
}

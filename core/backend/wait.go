package backend

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/internal/jitter"
)

// Watch says how [Wait] looks at the store.
type Watch struct {
	// Place identifies the store, as [core.Locator] does. All waiters of this process for
	// one key of equal places share one loop, and so one look. A place that can't be
	// compared, or nil, is equal to no other.
	Place any

	// Name is the name of the key for Place and Wakes. Empty means the key itself.
	Name string

	// Look returns the stored version (core.Absent if nothing is stored), and how much
	// longer the key's lease lasts: zero or less if it is free, and [Held] if the store
	// doesn't tell how long. It should be one cheap request. Its context ends after 10
	// seconds, and not with a waiter's context.
	Look func(ctx context.Context, key string) (stored core.Version, left time.Duration, err error)

	// First is the pause before the first look, and before the second. Each later pause is
	// 8/5 of the one before, and Last the longest. Every pause is up to a quarter shorter
	// or longer. If Last is zero, Wait looks only when it is woken and when the lease ends;
	// without Wakes, Last is a second.
	First, Last time.Duration

	// MostLooks limits the looks per second at all records of Place together. Zero means
	// no limit.
	MostLooks int

	// Wakes wakes the waiters as soon as the store tells of a change. It may be nil. The
	// message of a change can be lost. So while Wakes receives messages, Wait looks at once
	// and then every Heard, or every Last if Heard is zero.
	Wakes *Wakes
	Heard time.Duration
}

// Held means that a lease is held, and that the store doesn't tell for how long.
const Held = time.Duration(1<<63 - 1)

// TwoLooks returns a Watch.Look for a store that charges for each of two questions.
// version asks for the stored version, and is given the one that was known before (at
// first, seen), so that a store can answer that nothing was modified. left asks how long
// the lease lasts, and only while the version stays as it was.
func TwoLooks(seen core.Version, version func(ctx context.Context, key string, known core.Version) (core.Version, error), left func(ctx context.Context, key string) (time.Duration, error)) func(context.Context, string) (core.Version, time.Duration, error) {
	return func(ctx context.Context, key string) (core.Version, time.Duration, error) {
		stored, err := version(ctx, key, seen)
		if err != nil || stored != seen {
			seen = stored
			return stored, Held, err
		}
		lasts, err := left(ctx, key)
		return stored, lasts, err
	}
}

// lookTimeout ends a look at a store that doesn't answer.
const lookTimeout = 10 * time.Second

// Wait is the whole of a Watcher's Wait. It returns nil once the stored version differs
// from seen, or the lease of op.Key is free; ctx's error if ctx is done; and the error of
// a look.
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
// However many callers wait for a record in this process, one loop looks for all of them.
func Wait(ctx context.Context, op Op, seen core.Version, w Watch) error {
	return Do(ctx, op, func() error {
		w.Name = cmp.Or(w.Name, op.Key)
		if w.Wakes == nil {
			w.Last = cmp.Or(w.Last, time.Second)
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

// watches has the records for which callers of this process wait.
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

// watch is one record, with one goroutine that looks for all waiters.
type watch struct {
	Watch
	id      watchID
	key     string
	waiters map[*waiter]struct{} // guarded by watchSet.mu
	joined  chan struct{}        // receives a value when a waiter has come
	over    chan struct{}        // closed when the last waiter leaves

	// The fields below belong to the goroutine that looks.
	stored core.Version // at the last look; AnyVersion before the first
	hears  bool         // of changes since the last look
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
		k = &watch{Watch: w, id: id, key: key, waiters: make(map[*waiter]struct{}), joined: make(chan struct{}, 1), over: make(chan struct{}), stored: core.AnyVersion}
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

// remove removes a waiter that has left. The caller holds the mu.
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

// answer ends the wait of the waiters for which due is true.
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

// anyHasSeenAnother reports whether a waiter has seen another version than the last
// look found.
func (s *watchSet) anyHasSeenAnother(k *watch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range k.waiters {
		if one.seen != k.stored {
			return true
		}
	}
	return false
}

// watched returns how many records of a place are watched.
func (s *watchSet) watched(place any) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places[place]
}

// errNoReturn is what waiters get if Look ends its goroutine.
var errNoReturn = errors.New("the look at the store ended its goroutine instead of returning")

// run looks until the last waiter leaves.
func (k *watch) run(ctx context.Context) {
	defer watches.answer(k, errNoReturn, func(*waiter) bool { return true }) // if there are waiters
	heard := k.Wakes.join(k.Name)
	defer heard.leave()
	pause, next := k.First, time.Now().Add(k.limited(k.First))
	if heard.live() {
		next = time.Now()
		select {
		case <-heard.changes: // told before the look, which finds it
		default:
		}
	}
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for {
		select {
		case <-k.over:
			return
		case <-k.joined:
			// A waiter that came later may have seen an older version.
			soon := time.Now()
			switch {
			case k.hears && !watches.anyHasSeenAnother(k):
				continue
			case !k.hears:
				pause, soon = k.First, soon.Add(k.limited(k.First))
			}
			if soon.Before(next) {
				next = soon
				timer.Reset(time.Until(next))
			}
			continue
		case change := <-heard.changes:
			// A message can be late, and be of a save before the version that a waiter
			// has seen. It isn't believed before a look has found that version.
			if change.saved != core.Absent {
				watches.answer(k, nil, func(one *waiter) bool { return one.seen == k.stored && one.seen != change.saved })
			}
		case <-timer.C:
		}
		select {
		case <-k.over: // no waiter needs the look
			return
		default:
		}
		k.hears = heard.live()
		left := k.look(ctx)
		rest := k.rest(&pause)
		if left != Held {
			rest = min(rest, left+time.Millisecond)
		}
		next = time.Now().Add(rest)
		timer.Reset(rest)
	}
}

// look looks once, and returns how much longer the lease lasts.
func (k *watch) look(ctx context.Context) (left time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	stored, left, err := k.Look(ctx, k.key)
	k.stored = stored
	watches.answer(k, err, func(one *waiter) bool { return err != nil || left <= 0 || one.seen != stored })
	return max(left, 0)
}

// never is a pause that only an event ends.
const never = 24 * time.Hour

// rest returns the next pause, and sets pause to the one after it.
func (k *watch) rest(pause *time.Duration) time.Duration {
	last := k.Last
	if last == 0 {
		last = never
		*pause = never
	}
	*pause = max(*pause, time.Millisecond)
	rest := min(*pause, last)
	*pause = min(*pause*8/5, last)
	if k.hears {
		rest = last
		if k.Heard > 0 {
			rest = k.Heard
		}
	}
	return jitter.Around(k.limited(rest))
}

// limited returns a pause that is long enough for MostLooks.
func (k *watch) limited(pause time.Duration) time.Duration {
	if k.MostLooks > 0 {
		pause = max(pause, time.Duration(watches.watched(k.id.place))*time.Second/time.Duration(k.MostLooks))
	}
	return pause
}

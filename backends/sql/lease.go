package sql

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser]. The lease is two columns of the key's row: its owner,
// and its expiry by the database's clock. Each operation of a holder is one UPDATE with
// both in its condition.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, classified(origin.Op("acquire", key)), func(ctx context.Context) (core.Lease, error) {
		l := &lease{b: b, key: key, owner: rand.Text()}
		return l, l.acquire(ctx, ttl)
	})
}

// lease is a held or lost lease.
type lease struct {
	b          *Backend
	key, owner string // owner is a word for this lease, not for its process
}

func (l *lease) acquire(ctx context.Context, ttl time.Duration) error {
	done, err := l.b.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, s := range l.b.sql.held {
		switch held, err := l.b.first(ctx, l.b.args(l.key), s, new(int)); {
		case err != nil:
			return err
		case held:
			return core.ErrLeaseHeld
		}
	}
	switch got, err := l.b.change(ctx, l.args(ttl), l.b.sql.acquire...); {
	case err == nil && !got:
		return core.ErrLeaseHeld
	case err != nil && l.Renew(ctx, ttl) != nil: // the answer may have been lost although the lease is ours
		return err
	}
	return nil
}

// Renew implements [core.Lease].
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.change(ctx, l.args(ttl), l.b.sql.renew)
}

// Release implements [core.Lease]. If the row has nothing but the lease, it removes the
// row.
func (l *lease) Release(ctx context.Context) error {
	return l.change(ctx, l.args(0), l.b.sql.release...)
}

func (l *lease) change(ctx context.Context, a args, statements ...statement) error {
	held, err := l.b.change(ctx, a, statements...)
	if err == nil && !held {
		err = core.ErrLeaseLost
	}
	return err
}

func (l *lease) args(ttl time.Duration) args {
	a := l.b.args(l.key)
	a["owner"], a["ttl"] = l.owner, ttl.Microseconds()
	return a
}

// ShouldRefresh implements [core.TokenBackend]: [core.Coordinate] over the table's leases.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// The pauses between the looks of a waiter: short at first, because providers answer
// within a second, and long while PostgreSQL wakes the waiter. If a process waits for many
// records, mostLooks is how many of them it looks at in a second.
const (
	firstPause, lastPause = 10 * time.Millisecond, 100 * time.Millisecond
	mostLooks             = 1000
	untilListening        = 250 * time.Millisecond
	whileListening        = 5 * time.Second
)

// Wait implements [core.Watcher]. It looks at the record ten times a second in the end, or
// every five seconds while Options.Listen listens; and when the lease ends, or PostgreSQL
// tells of a change. Looks at many records share one statement, and a process looks at no
// more than a thousand records a second.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	w := backend.Watch{Place: b.Place(), Name: b.prefix + key, Look: b.lookWithOthers, First: firstPause, Last: lastPause, MostLooks: mostLooks}
	if b.wakes != nil {
		w.Name, w.Wakes, w.First, w.Heard = news(b.prefix+key), b.wakes, untilListening, whileListening
	}
	return backend.Wait(ctx, classified(origin.Op("wait", key)), seen, w)
}

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
			return on.each(ctx, s, values, func(scan func(...any) error) error {
				var (
					stored        bool
					key           string
					version, left int64 // microseconds
				)
				err := scan(&key, &stored, &version, &left)
				one := looked{core.Absent, time.Duration(left) * time.Microsecond}
				if stored {
					one.version = versionOf(version)
				}
				found[strings.TrimPrefix(key, b.prefix)] = one
				return err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// together is how long a look waits for others, so that one statement does for all.
const together = 10 * time.Millisecond

// looks collects looks, so that several have one statement.
type looks struct {
	mu   sync.Mutex
	next *question // nil: there is none
}

// question is one look for all that ask within a short time.
type question struct {
	keys   []string
	answer func() (map[string]looked, error) // looks when it is called first
}

// lookWithOthers is look, together with others that look at nearly the same time.
func (b *Backend) lookWithOthers(ctx context.Context, key string) (core.Version, time.Duration, error) {
	found, err := b.ask(ctx, key).answer()
	return found[key].version, found[key].left, err
}

func (b *Backend) ask(ctx context.Context, key string) *question {
	b.looks.mu.Lock()
	defer b.looks.mu.Unlock()
	q := b.looks.next
	if q == nil {
		q = new(question)
		q.answer = sync.OnceValues(func() (map[string]looked, error) { return b.answer(ctx, q) })
		b.looks.next = q
	}
	q.keys = append(q.keys, key)
	return q
}

// answer looks when the pool has a turn for it. Until then, other looks join.
func (b *Backend) answer(ctx context.Context, q *question) (map[string]looked, error) {
	_ = backend.Sleep(ctx, together)
	done, err := b.turn(ctx)
	b.looks.mu.Lock()
	b.looks.next = nil // no other look can join
	b.looks.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer done()
	return b.lookAt(ctx, q.keys)
}

// channel is the channel on which PostgreSQL is told of changes. The whole database has one,
// for all tables.
const channel = "graphtoken"

// linger is how long a connection that listens stays after the last waiter has left,
// because there are often new waiters soon.
const linger = 10 * time.Second

// news is the message on the channel for a record_key. It doesn't tell the key, because
// every user of a database may listen.
func news(storedKey string) string {
	digest := sha256.Sum256([]byte(storedKey))
	return hex.EncodeToString(digest[:8])
}

// savedNews is the message after a save. It tells the version, so that others need not
// look.
func savedNews(storedKey string, v core.Version) string { return news(storedKey) + " " + string(v) }

// listen passes on to the waiters what an Options.Listen hears.
func listen(to func(ctx context.Context, channel string, heard func(payload string)) error) func(context.Context, *backend.News) {
	return func(ctx context.Context, n *backend.News) {
		var once sync.Once
		// The program that wrote Listen reports why it ended.
		_ = to(ctx, channel, func(payload string) {
			once.Do(n.HeardAll)
			switch name, version, saved := strings.Cut(payload, " "); {
			case saved:
				n.Saved(name, core.Version(version))
			case payload != "":
				n.Wake(payload)
			}
		})
	}
}

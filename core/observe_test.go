package core_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// count is how often an event of that name was observed.
func (o *observed) count(name core.EventName) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if e.Name == name {
			n++
		}
	}
	return n
}

func TestTheObserverHearsOfEachThingOnce(t *testing.T) {
	for _, c := range []struct {
		name     string
		event    core.EventName
		err      error
		happen   func(t *testing.T, p *idp, b *backend, s *core.Store)
		instead  core.EventName // must not be told
		expected int
	}{
		{"a kept token is returned", core.EventHit, nil, func(t *testing.T, p *idp, b *backend, s *core.Store) {
			ts := s.TokenSource("k", ana(), p.refresh)
			mustToken(t, ts)
			mustToken(t, ts)
			mustToken(t, s.TokenSource("k", ana(), p.refresh))
		}, core.EventWait, 2},
		{"a sign-in is stored", core.EventSignIn, nil, func(t *testing.T, p *idp, b *backend, s *core.Store) {
			if _, err := s.Put(t.Context(), "k", p.issue("bo", "in2")); err != nil {
				t.Fatal(err)
			}
		}, core.EventRefresh, 1},
		{"another process refreshes meanwhile", core.EventWait, nil, func(t *testing.T, p *idp, b *backend, s *core.Store) {
			go core.NewStore(handle(b.store)).TokenSource("k", ana(), slowly(p)).Token(context.Background())
			time.Sleep(time.Millisecond)
			mustToken(t, s.TokenSource("k", ana(), p.refresh))
		}, core.EventTakeover, 1},
		{"the holder of the lease is dead", core.EventTakeover, nil, func(t *testing.T, p *idp, b *backend, s *core.Store) {
			if _, err := b.Acquire(t.Context(), "k", time.Minute); err != nil {
				t.Fatal(err)
			}
			mustToken(t, s.TokenSource("k", ana(), p.refresh))
		}, core.EventMerge, 1},
		{"another process signs a user in during a refresh", core.EventMerge, nil, func(t *testing.T, p *idp, b *backend, s *core.Store) {
			b.beforeSave = func() { p.signIn(t, core.NewStore(handle(b.store)), "k", "bo") }
			mustToken(t, s.TokenSource("k", ana(), p.refresh))
		}, core.EventTakeover, 1},
		{"a refresh failed a moment ago", core.EventBackoff, errOutage, func(t *testing.T, p *idp, b *backend, s *core.Store) {
			p.set(func(p *idp) { p.err = errOutage })
			for range 3 {
				if _, err := s.TokenSource("k", ana(), p.refresh).Token(t.Context()); err == nil {
					t.Fatal("there is a token")
				}
			}
		}, core.EventTakeover, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				p.signIn(t, core.NewStore(b), "k", "ana")
				time.Sleep(2 * time.Hour)
				var events observed
				s := core.NewStore(handle(b.store), core.WithObserver(&events), calm())
				if c.event == core.EventMerge || c.event == core.EventTakeover {
					s = core.NewStore(b, core.WithObserver(&events), calm())
				}
				c.happen(t, p, b, s)
				if n := events.count(c.event); n != c.expected || !events.has(c.event, c.err) {
					t.Errorf("%d times, want %d, with %v: %+v", n, c.expected, c.err, events.events)
				}
				if n := events.count(c.instead); n != 0 {
					t.Errorf("%q was told %d times", c.instead, n)
				}
			})
		})
	}
}

func TestAtInfoAHealthyProgramLogsItsSignInsAndRefreshesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, core.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), calm())
		if _, err := s.Put(t.Context(), "k", p.issue("ana", "in1")); err != nil {
			t.Fatal(err)
		}
		ts := s.TokenSource("k", ana(), p.refresh)
		const refreshes = 12
		for range refreshes { // a day, in which a token is taken again and again
			for range 100 {
				mustToken(t, ts)
			}
			time.Sleep(2 * time.Hour)
			mustToken(t, ts)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 1+refreshes || !strings.Contains(lines[0], "sign-in") || strings.Count(log.String(), "level=INFO msg=\"graphtoken: refresh\" key=k ") != refreshes {
			t.Errorf("the log has\n%s", log.String())
		}
		log.Reset()
		b.fail("save", errOutage)
		time.Sleep(2 * time.Hour)
		mustToken(t, ts)
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), errOutage.Error()) {
			t.Errorf("in an outage, the log has\n%s", log.String())
		}
	})
}

package core_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// The tests in this file are of attempts under way when the application changes the
// record, or when all callers leave.

func TestAnAttemptFromBeforeASignOutKeepsNoToken(t *testing.T) {
	for name, out := range map[string]func(context.Context, *core.Store) error{
		"by Delete": func(ctx context.Context, s *core.Store) error { return s.Delete(ctx, "k") },
		"by Update": func(ctx context.Context, s *core.Store) error { return s.Update(ctx, "k", remove(bo())) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				p.signIn(t, core.NewStore(b), "k", "ana", "bo")
				s := core.NewStore(b, calm())
				refused := make(chan struct{})
				p.set(func(p *idp) { p.before = func() error { <-refused; return errOutage } })
				go s.TokenSource("k", ana(), p.refresh).Refresh(t.Context()) // bo waits for it
				synctest.Wait()
				ts := s.TokenSource("k", bo(), p.refresh)
				waited := make(chan error, 1)
				go func() {
					_, err := ts.Token(t.Context())
					waited <- err
				}()
				synctest.Wait()
				time.Sleep(time.Millisecond)
				if _, _, err := s.Load(t.Context(), "k"); err != nil { // is handed to bo's attempt
					t.Fatal(err)
				}
				if err := out(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				close(refused)
				<-waited // either answer is right: the call began before the sign-out
				p.set(func(p *idp) { p.before = nil })
				if at, err := ts.Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
					t.Errorf("after the sign-out: %q, %v", at.Secret.Reveal(), err)
				}
			})
		})
	}
}

func TestACallAfterASignOutJoinsNoAttemptFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), &awkward{backend: newBackend()}
		p.signIn(t, core.NewStore(b.backend), "k", "ana")
		s := core.NewStore(b, calm())
		ts := s.TokenSource("k", ana(), p.refresh)
		answer := make(chan struct{})
		b.load = func(ctx context.Context, key string) (core.Record, error) {
			rec, err := b.backend.Load(ctx, key)
			<-answer
			return rec, err
		}
		go ts.Token(t.Context())
		synctest.Wait()
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		after := make(chan error, 1)
		go func() {
			_, err := ts.Token(t.Context())
			after <- err
		}()
		synctest.Wait()
		close(answer)
		if err := <-after; !errors.Is(err, core.ErrReauthRequired) {
			t.Errorf("after the sign-out: %v", err)
		}
	})
}

func TestATokenThatComesAfterAllCallersHaveLeftIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, calm())
		p.signIn(t, s, "k", "ana")
		time.Sleep(2 * time.Hour)
		p.set(func(p *idp) { p.wait = make(chan struct{}) })
		ts := s.TokenSource("k", ana(), p.refresh)
		for range 2 { // the first leaves when its request was sent, the second while it waits for the first
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := ts.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
			synctest.Wait()
		}
		close(p.wait)
		synctest.Wait()
		loads := b.count("load")
		if got := mustToken(t, s.TokenSource("k", ana(), p.refresh)); got != "at-ana-1" || b.count("load") != loads {
			t.Errorf("the token is %q, after %d loads", got, b.count("load")-loads)
		}
	})
}

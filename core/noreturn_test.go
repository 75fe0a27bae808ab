package core_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// exiting is an observer, and a cryptography manager that encrypts nothing. Each ends the
// goroutine that calls it as a failed assertion in a test does.
type exiting struct {
	event   core.EventName // on which the observer does
	encrypt bool
}

func (e *exiting) Observe(_ context.Context, event core.Event) {
	if event.Name == e.event {
		runtime.Goexit()
	}
}

func (e *exiting) Encrypt(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	if e.encrypt {
		runtime.Goexit()
	}
	return plaintext, nil
}

func (e *exiting) Decrypt(_ context.Context, ciphertext, _ []byte) ([]byte, error) {
	return ciphertext, nil
}

// No caller hangs, no lease is left, and what the provider issued is not lost.
func TestAFunctionThatEndsItsGoroutineHoldsNothingUp(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*awkward, *exiting)
		spent bool // the provider is asked, and its answer must be kept
	}{
		"an observer, of a wait": {fault: func(_ *awkward, e *exiting) { e.event = core.EventWait }},
		"an observer, of a load": {fault: func(_ *awkward, e *exiting) { e.event = core.EventLoad }},
		"a backend that should grant the lease": {fault: func(b *awkward, _ *exiting) {
			b.acquire = func(context.Context) error { runtime.Goexit(); return nil }
		}},
		"a backend that should release the lease": {spent: true, fault: func(b *awkward, _ *exiting) {
			b.release = func(ctx context.Context, l core.Lease) error {
				_ = l.Release(ctx)
				runtime.Goexit()
				return nil
			}
		}},
		"a backend that should save": {spent: true, fault: func(b *awkward, _ *exiting) {
			b.save = func(context.Context, string, core.Record) (core.Version, error) { runtime.Goexit(); return "", nil }
		}},
		"a cryptography manager": {spent: true, fault: func(_ *awkward, e *exiting) { e.encrypt = true }},
	} {
		for by, ask := range map[string]func(context.Context, *core.Store, *idp) (bool, error){
			"Token": func(ctx context.Context, s *core.Store, p *idp) (bool, error) {
				at, err := s.TokenSource("k", ana(), p.refresh).Token(ctx)
				return at.Secret != "", err
			},
			"Refresh": func(ctx context.Context, s *core.Store, p *idp) (bool, error) {
				got, _, err := s.Refresh(ctx, "k", core.AnyVersion, func(ctx context.Context, c *tokencache.Cache) error {
					return p.refresh(ctx, c, core.Refresh{Query: ana()})
				})
				return got != nil, err
			},
		} {
			t.Run(name+", by "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, b, e := newIDP(), &awkward{backend: newBackend()}, new(exiting)
					s := core.NewStore(b, core.WithObserver(e), core.WithCryptography(e), calm())
					p.signIn(t, s, "k", "ana")
					time.Sleep(2 * time.Hour)
					other, err := b.backend.Acquire(t.Context(), "k", time.Second) // so that there is a wait
					if err != nil {
						t.Fatal(err)
					}
					if c.spent {
						_ = other.Release(t.Context())
					}
					c.fault(b, e)
					began := time.Now()
					got, err := ask(t.Context(), s, p)
					if took := time.Since(began); took > 5*time.Second {
						t.Errorf("the caller waited %v", took)
					}
					if !got && err == nil || c.spent && !got {
						t.Errorf("a result: %v, an error: %v", got, err)
					}
					*e, b.acquire, b.save, b.release = exiting{}, nil, nil, nil
					time.Sleep(time.Second) // other's lease is over
					if _, err := b.backend.Acquire(t.Context(), "k", time.Minute); err != nil {
						t.Error("after the call:", err)
					}
					if err := s.Flush(t.Context()); err != nil {
						t.Error(err)
					}
					cache, _, err := core.NewStore(b.backend).Load(t.Context(), "k")
					if err != nil {
						t.Fatal(err)
					}
					if rt, _ := cache.RefreshToken(ana()); rt.Secret.Reveal() != p.current["ana"] {
						t.Error("the refresh token that the provider issued is not stored")
					}
				})
			})
		}
	}
}

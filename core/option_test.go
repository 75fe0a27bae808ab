package core_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func TestTheLongestDurationIsNoLimit(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	for name, option := range map[string]core.StoreOption{
		"for how long a token is trusted": core.WithMaxStale(longest),
		"for one refresh":                 core.WithRefreshTimeout(longest),
		"for a lease":                     core.WithLeaseTTL(longest),
		"for the refresh window":          core.WithRefreshWindow(longest, longest), // half of the lifetime remains
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				s := core.NewStore(b, calm(), option)
				p.signIn(t, s, "k", "ana")
				p.set(func(p *idp) { p.before = func() error { time.Sleep(time.Second); return nil } })
				ts := s.TokenSource("k", ana(), p.refresh)
				first := mustToken(t, ts)
				loads := b.count("load")
				mustToken(t, ts)
				if n := b.count("load") - loads; n != 0 {
					t.Errorf("a valid token costs %d loads", n)
				}
				time.Sleep(57 * time.Minute)
				if got := mustToken(t, ts); got != first {
					t.Errorf("in the window the token is %q", got)
				}
				time.Sleep(time.Minute)
				if got := mustToken(t, ts); got == first {
					t.Error("the token was not refreshed in the background")
				}
			})
		})
	}
}

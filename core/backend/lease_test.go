package backend_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

const seller backend.Origin = "shop"

func TestAcquireReleasesALeaseThatIsGrantedAfterItsCallerLeft(t *testing.T) {
	for _, c := range []struct {
		name   string
		leave  time.Duration // when the caller leaves; the store grants at 40 ms and answers at 80
		held   bool          // by the caller
		failed error
	}{
		{"before the store granted it", 20 * time.Millisecond, false, context.DeadlineExceeded},
		{"while the answer is on its way", 60 * time.Millisecond, false, context.DeadlineExceeded},
		{"after the answer came", 100 * time.Millisecond, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store backend.LocalLeases
				ctx, cancel := context.WithTimeout(t.Context(), c.leave)
				defer cancel()
				lease, err := backend.Acquire(ctx, seller.Op("acquire", "ana"), func(ctx context.Context) (core.Lease, error) {
					if err := pass(ctx, 40*time.Millisecond); err != nil {
						return nil, err
					}
					lease, err := store.Acquire(ctx, "ana", time.Hour)
					if err := pass(ctx, 40*time.Millisecond); err != nil {
						return nil, err
					}
					return lease, err
				})
				if !errors.Is(err, c.failed) || (lease != nil) != c.held {
					t.Errorf("Acquire = %v, %v", lease, err)
				}
				time.Sleep(time.Second)
				next, err := store.Acquire(t.Context(), "ana", time.Hour)
				if (next == nil) != c.held {
					t.Errorf("the next Acquire: %v", err)
				}
			})
		})
	}
}

func TestAcquireEndsWhenTheStoreNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		over := make(chan error, 1)
		_, err := backend.Acquire(ctx, seller.Op("acquire", "ana"), func(ctx context.Context) (core.Lease, error) {
			<-ctx.Done()
			over <- ctx.Err()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire: %v", err)
		}
		left := time.Now()
		<-over
		if waited := time.Since(left); waited > time.Minute {
			t.Errorf("the store is asked for %v after the caller left", waited)
		}
	})
}

func TestAcquireTellsWhoseErrorItIs(t *testing.T) {
	refused := errors.New("no room")
	lease, err := backend.Acquire(t.Context(), seller.Op("acquire", "ana"), func(context.Context) (core.Lease, error) { return nil, refused })
	if lease != nil || !errors.Is(err, refused) || err.Error() != `shop: acquire "ana": no room` {
		t.Errorf("Acquire = %v, %v", lease, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for key, ctx := range map[string]context.Context{"": t.Context(), "ana": gone} {
		if _, err := backend.Acquire(ctx, seller.Op("acquire", key), func(context.Context) (core.Lease, error) {
			t.Errorf("the store is asked for %q", key)
			return nil, nil
		}); err == nil {
			t.Errorf("Acquire(%q): no error", key)
		}
	}
}

// pass lets time pass, unless ctx ends.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

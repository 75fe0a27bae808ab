package backend_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core/backend"
)

func TestRetryCallsAgainAsLongAsItMayHelp(t *testing.T) {
	busy, broken := errors.New("busy"), errors.New("broken")
	for _, c := range []struct {
		name    string
		answers []error
		want    error
		calls   int
		took    time.Duration // give or take a quarter
	}{
		{"not after a success", []error{nil}, nil, 1, 0},
		{"until a call succeeds", []error{busy, busy, nil}, nil, 3, 3 * time.Second},
		{"not after an error that stays", []error{busy, broken}, broken, 2, time.Second},
		{"not more often than it is told", []error{busy, busy, busy, busy, nil}, busy, 4, 7 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls := time.Now(), 0
				err := backend.Retry(t.Context(), 4, time.Second, func(err error) bool { return err == busy }, func() error {
					calls++
					return c.answers[calls-1]
				})
				if err != c.want || calls != c.calls {
					t.Errorf("Retry = %v after %d calls", err, calls)
				}
				if took := time.Since(began); took < c.took*3/4 || took > c.took*5/4 {
					t.Errorf("the calls took %v", took)
				}
			})
		})
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := errors.New("busy")
		for _, pause := range []time.Duration{0, time.Minute} {
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			err := backend.Retry(ctx, 9, pause, func(error) bool { return true }, func() error {
				if calls++; calls == 2 {
					cancel()
				}
				return busy
			})
			if err != busy || calls != 2 {
				t.Errorf("Retry with pauses of %v = %v after %d calls", pause, err, calls)
			}
		}
	})
}

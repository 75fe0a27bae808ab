package backend

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/internal/sleep"
)

// Sleep waits for d, or returns ctx's error as soon as ctx is done.
func Sleep(ctx context.Context, d time.Duration) error { return sleep.For(ctx, d) }

// Retry calls do. If do fails and again(err) is true, for example because others wrote at
// the same time, Retry calls do once more, at most tries times in all. The first pause is
// about as long as given, and each other pause twice as long as the one before. Retry
// returns the error of the last call, also if ctx is done during a pause.
func Retry(ctx context.Context, tries int, pause time.Duration, again func(error) bool, do func() error) error {
	for ; ; pause *= 2 {
		err := do()
		if tries--; err == nil || tries == 0 || !again(err) || Sleep(ctx, jitter.Around(pause)) != nil {
			return err
		}
	}
}

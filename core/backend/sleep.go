package backend

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/sleep"
)

// Sleep waits for d, or returns ctx's error as soon as ctx is done.
func Sleep(ctx context.Context, d time.Duration) error { return sleep.For(ctx, d) }

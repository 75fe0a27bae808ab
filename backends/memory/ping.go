package memory

import "context"

// Ping implements [core.Pinger]. Memory is always there: the only error is
// ctx's.
func (b *Backend) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return origin.Fail("ping", "", err)
	}
	return nil
}

// Probe implements [core.Prober]: what memory takes, it takes always.
func (b *Backend) Probe(ctx context.Context, key string) error {
	return origin.Admit(ctx, "probe", key)
}

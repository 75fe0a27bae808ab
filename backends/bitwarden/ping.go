package bitwarden

import "context"

// Ping implements [core.Pinger]. It lists the secrets, so that an unknown
// organization and an account without access show. It doesn't write, and so
// doesn't tell whether the account may.
func (b *Backend) Ping(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		_, err = b.list(ctx)
	}
	return origin.Fail("ping", "", err)
}

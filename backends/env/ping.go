package env

import "context"

// Ping implements [core.Pinger]. The variables of the process are always
// there; a dotenv file must be readable, or its directory be there to make it
// in.
func (b *Backend) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return origin.Fail("ping", "", err)
	}
	if err := b.place.ping(); err != nil {
		return origin.Fail("ping", "", err)
	}
	return nil
}

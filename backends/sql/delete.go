package sql

import "context"

// Check implements [core.TokenBackend], with one statement. An empty record is
// one, too.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	if err := origin.Admit(ctx, "check", key); err != nil {
		return false, err
	}
	var one int
	found, err := b.first(ctx, b.args(key), b.sql.check, &one)
	return found, origin.Fail("check", key, err)
}

// Delete implements [core.TokenBackend]. The row is gone when it returns, with
// one statement, unless somebody holds the lease: then the record is gone, and
// the row goes with the lease.
func (b *Backend) Delete(ctx context.Context, key string) error {
	if err := origin.Admit(ctx, "delete", key); err != nil {
		return err
	}
	_, err := b.change(ctx, b.args(key), b.sql.remove...)
	return origin.Fail("delete", key, err)
}

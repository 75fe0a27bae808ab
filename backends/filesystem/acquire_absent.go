package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
)

// takeAbsent takes the lease without the record's lock if there is no lease file. If many
// try at the same time, one gets it, because a file can be linked to a name only if the
// name is free; and the others don't have to wait. Only a holder of the lock removes a
// lease file, so nobody takes a lease that is about to be taken over.
//
// It returns false if there is a lease file, which the caller must look at under the
// lock, or if the file system has no locks or no links.
func (l *lease) takeAbsent(ctx context.Context, key string) (taken bool, err error) {
	b := l.b
	if b.noFileLocks.Load() || b.caseMatters(key) && casing(b.casing.Load()) == casingUnknown {
		return false, nil
	}
	d, err := openDirectories(l.at.home)
	if err != nil {
		return false, missing(err)
	}
	defer d.close()
	if _, err := d.makeLeases(); err != nil {
		return false, missing(err)
	}
	t, err := newOwnTemp(d.helpers, l.at.stripe())
	if err != nil {
		return false, nil // the fault is found again under the lock
	}
	defer func() {
		_ = d.helpers.Remove(t.name)
		if !taken {
			_ = t.file.Close()
		}
	}()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l.claim.expires, l.claim.locked = b.moment().add(l.claim.ttl), true
	if err := writeClaimTo(t.file, l.claim); err != nil {
		return false, err
	}
	if err := d.helpers.Link(t.name, filepath.Join(leases, l.at.as)); err != nil {
		return false, nil // there is one by now, or the file system has no links
	}
	l.file = t.file
	return true, nil
}

// missing returns nil for a directory or file that doesn't exist yet.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

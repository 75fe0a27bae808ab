package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// keys looks at the keys that encrypt the store.
func (d *checkup) keys(ctx context.Context) []finding {
	if _, err := d.keyring(ctx); err != nil {
		return []finding{bad("chmod 600 the file of keys, and see graphtoken keygen.", "%v", err)}
	}
	if d.keyPlace.File != "" {
		return []finding{risky("Make the keychain usable, and rewrap the store with its key.", "%s", d.keyPlace)}
	}
	if !d.encrypted() {
		return nil
	}
	if all := (namedFile{"--key-file", d.KeyFile}).look(); all != nil { // accepted by --shared-key-file
		return all
	}
	return []finding{good("they can be read")}
}

// secretFiles looks at the other files that flags name.
func (d *checkup) secretFiles(context.Context) (all []finding) {
	for _, f := range d.session.secretFiles() {
		all = append(all, f.look()...)
	}
	return all
}

// look looks who can read or exchange the file, if the flag names one.
func (f namedFile) look() []finding {
	if f.path == "" {
		return nil
	}
	if _, err := os.Stat(f.path); err != nil {
		return []finding{bad("Name a file that this user can read.", "%v", unread(f.flag, f.path, err))}
	}
	if mode, can := othersCanUse(f.path); can {
		return []finding{risky("chmod 600 the file.", "%s: others can read or write the file, mode %04o", f.flag, mode)}
	}
	if err := atomicfile.CheckDirectory(filepath.Dir(f.path)); errors.Is(err, core.ErrUnsafeDirectory) {
		return []finding{risky("Keep it in a directory of this user alone: others could exchange it.", "%s: %v", f.flag, err)}
	}
	return nil
}

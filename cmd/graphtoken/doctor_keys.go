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
	if all := lookAtSecret("--key-file", d.KeyFile); all != nil { // accepted by --shared-key-file
		return all
	}
	return []finding{good("they can be read")}
}

// secretFiles looks at the other files that flags name.
func (d *checkup) secretFiles(context.Context) (all []finding) {
	for _, f := range []struct{ flag, path string }{
		{"--client-secret-file", d.ClientSecretFile}, {"--certificate", d.Certificate}, {"--federated-token-file", d.FederatedTokenFile},
	} {
		all = append(all, lookAtSecret(f.flag, f.path)...)
	}
	return all
}

// lookAtSecret looks who can read or exchange a file, if a flag names one.
func lookAtSecret(flag, path string) []finding {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return []finding{bad("Name a file that this user can read.", "%v", unread(flag, path, err))}
	case hasModes && info.Mode().Perm()&0o077 != 0:
		return []finding{risky("chmod 600 the file.", "%s: others can read or write the file, mode %04o", flag, info.Mode().Perm())}
	}
	if err := atomicfile.CheckDirectory(filepath.Dir(path)); errors.Is(err, core.ErrUnsafeDirectory) {
		return []finding{risky("Keep it in a directory of this user alone: others could exchange it.", "%s: %v", flag, err)}
	}
	return nil
}

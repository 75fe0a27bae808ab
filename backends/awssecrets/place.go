package awssecrets

import (
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// These names aren't names of keys: "=", the escape byte, followed by "le" or by nothing
// is no escape sequence.
const (
	leased   = "=leased"
	pingName = "="
)

// limit is the longest name of a record. The name of its lease is longer.
const limit = maxName - len(leased)

// newNaming is how keys become names of secrets.
func newNaming(o Options) backend.Naming {
	n := backend.Naming{Prefix: o.Prefix, Escape: '=', Limit: limit}
	if o.NativeNames {
		n.Native = func(name string) bool { return !strings.ContainsFunc(name, unnameable) }
		n.Reserved = func(name string) bool { return strings.HasSuffix(name, leased) || name == o.Prefix+pingName }
	}
	return n
}

func (b *Backend) name(key string) string { return b.naming.Name(key) }

func (b *Backend) leaseName(key string) string { return b.name(key) + leased }

// unnameable reports whether no secret's name can have this rune.
func unnameable(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("/_+=.@-", r)
}

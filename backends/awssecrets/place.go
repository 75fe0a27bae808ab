package awssecrets

import (
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// What isn't a key's name: the escape byte and "le", or nothing, is no escape
// sequence.
const (
	leased   = "=leased"
	pingName = "="
)

// limit is how long a record's name can be: its lease has a longer one.
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

// unnameable says of a rune that no secret's name can hold it.
func unnameable(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("/_+=.@-", r)
}

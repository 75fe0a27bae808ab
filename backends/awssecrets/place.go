package awssecrets

import "strings"

// What isn't a key's name: the escape byte and "le", or nothing, is no escape
// sequence.
const (
	leased   = "=leased"
	pingName = "="
)

// minimumLimit is what core.Naming needs for the longest key.
const minimumLimit = 242

func (b *Backend) name(key string) string { return b.prefix + b.naming.Name(key) }

func (b *Backend) leaseName(key string) string { return b.name(key) + leased }

// key is the key whose record's name this is.
func (b *Backend) key(name string) (key string, ok bool) {
	if name, ok = strings.CutPrefix(name, b.prefix); !ok {
		return "", false
	}
	return b.naming.Key(name)
}

// unnameable says of a rune that no secret's name can hold it.
func unnameable(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("/_+=.@-", r)
}

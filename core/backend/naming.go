package backend

import (
	"encoding/base32"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// Naming maps keys to the names of one kind of store, reversibly and without
// collisions. Every backend that names things uses one.
//
// A key of [A-Za-z0-9._-] is its own name wherever the store can hold it, so
// that what python-o365 wrote is read in place. In any other, the bytes
// outside of that set become Escape and two upper-case hexadecimal digits.
// Where that name would be too long or is reserved, the whole key becomes
// Escape, Escape and its lower-case base32.
type Naming struct {
	// Prefix begins every name, as it is.
	Prefix string
	// Escape begins an escape sequence. It is a byte the store can hold,
	// outside of [A-Za-z0-9._-].
	Escape byte
	// FoldsCase says that the store takes names that differ in case for one:
	// then upper case is escaped too.
	FoldsCase bool
	// Limit is the longest name in bytes, with the prefix, which leaves at least
	// 242 of them (what 150 bytes take in base32); zero means that the store sets
	// none that a key could meet.
	Limit int
	// Reserved reports names, with the prefix, that the store, or the backend's own
	// helper objects, keep for themselves. It may be nil.
	Reserved func(name string) bool
}

var base32Lower = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// Name returns the name of key.
func (n Naming) Name(key string) string {
	name := n.Prefix + n.escape(key)
	if n.Limit > 0 && len(name) > n.Limit || n.Reserved != nil && n.Reserved(name) {
		return n.Prefix + string([]byte{n.Escape, n.Escape}) + base32Lower.EncodeToString([]byte(key))
	}
	return name
}

// Key returns the key whose name this is; ok is false for a name that no key
// has, such as a stranger's.
func (n Naming) Key(name string) (key string, ok bool) {
	rest, ours := strings.CutPrefix(name, n.Prefix)
	if !ours {
		return "", false
	}
	if whole, long := strings.CutPrefix(rest, string([]byte{n.Escape, n.Escape})); long {
		raw, err := base32Lower.DecodeString(whole)
		if err != nil {
			return "", false
		}
		key = string(raw)
	} else {
		var b strings.Builder
		for i := 0; i < len(rest); i++ {
			c := rest[i]
			if c == n.Escape {
				if i+2 >= len(rest) {
					return "", false
				}
				c = unhex(rest[i+1])<<4 | unhex(rest[i+2])
				i += 2
			}
			b.WriteByte(c)
		}
		key = b.String()
	}
	// Only the name that Name makes is the key's: any other spelling, such as
	// lower-case digits or an escaped letter, is not ours.
	return key, core.ValidateKey(key) == nil && n.Name(key) == name
}

func (n Naming) escape(key string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		c := key[i]
		if n.plain(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte(n.Escape)
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func (n Naming) plain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		return true
	case 'A' <= c && c <= 'Z':
		return !n.FoldsCase
	}
	return false
}

func unhex(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}

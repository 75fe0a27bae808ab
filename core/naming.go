package core

import (
	"encoding/base32"
	"strings"
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
	// Escape begins an escape sequence. It is a byte the store can hold,
	// outside of [A-Za-z0-9._-].
	Escape byte
	// FoldsCase says that the store takes names that differ in case for one:
	// then upper case is escaped too.
	FoldsCase bool
	// Limit is the longest name in bytes, at least 242 (what 150 bytes take in
	// base32); zero means that the store sets none that a key could meet.
	Limit int
	// Reserved reports names that the store, or the backend's own helper
	// objects, keep for themselves. It may be nil.
	Reserved func(name string) bool
}

var base32Lower = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// Name returns the name of key.
func (n Naming) Name(key string) string {
	name := n.escape(key)
	if n.Limit > 0 && len(name) > n.Limit || n.Reserved != nil && n.Reserved(name) {
		return string([]byte{n.Escape, n.Escape}) + base32Lower.EncodeToString([]byte(key))
	}
	return name
}

// Key returns the key whose name this is; ok is false for a name that no key
// has, such as a stranger's.
func (n Naming) Key(name string) (key string, ok bool) {
	if whole, long := strings.CutPrefix(name, string([]byte{n.Escape, n.Escape})); long {
		raw, err := base32Lower.DecodeString(whole)
		if err != nil {
			return "", false
		}
		key = string(raw)
	} else {
		var b strings.Builder
		for i := 0; i < len(name); i++ {
			c := name[i]
			if c == n.Escape {
				if i+2 >= len(name) {
					return "", false
				}
				c = unhex(name[i+1])<<4 | unhex(name[i+2])
				i += 2
			}
			b.WriteByte(c)
		}
		key = b.String()
	}
	// Only the name that Name makes is the key's: any other spelling, such as
	// lower-case digits or an escaped letter, is not ours.
	return key, ValidateKey(key) == nil && n.Name(key) == name
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

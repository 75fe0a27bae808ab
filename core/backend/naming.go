package backend

import (
	"encoding/base32"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// Naming turns keys into the names of one kind of store, reversibly and without
// collisions.
//
// A key of [A-Za-z0-9._-] is its own name wherever the store can hold it, so that a place
// that python-o365 wrote can be used as it is. In any other key, the bytes outside of
// that set become Escape and two upper-case hexadecimal digits. If that name would be too
// long or is reserved, the name is Escape, Escape and the lower-case base32 of the whole
// key.
//
// With Native, a key is its own name, whatever bytes it has, wherever the store can hold
// that name: so records can be used that another program has named. The name of any
// other key is Escape, Escape and base32, as above.
type Naming struct {
	// Prefix begins every name, without escaping.
	Prefix string
	// Escape begins an escape sequence. It is a byte that the store can hold, outside of
	// [A-Za-z0-9._-].
	Escape byte
	// FoldsCase says that the store doesn't tell names apart that differ only in case.
	// Then upper case is escaped too.
	FoldsCase bool
	// Limit is the longest name in bytes, with the prefix. It leaves at least LongestName
	// bytes for the key. Zero means that the store has no limit that a key could exceed.
	Limit int
	// Reserved reports names, with the prefix, that the store needs for itself, or the
	// backend for its helper objects. It may be nil.
	Reserved func(name string) bool
	// Native, unless it is nil, makes keys their own names, and reports names, with the
	// prefix, that the store can hold. FoldsCase has no effect then: keys that the store
	// doesn't tell apart are one record.
	Native func(name string) bool
}

// LongestName is the length of the longest key's name in base32.
const LongestName = 2 + (core.MaxKeyLen*8+4)/5

var base32Lower = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// Name returns the name of key.
func (n Naming) Name(key string) string {
	name := n.Prefix + n.escape(key)
	if n.Native != nil {
		name = n.Prefix + key
	}
	switch {
	case !n.canHold(name):
		return n.Prefix + n.whole(key)
	case n.Native != nil && n.standsForAnother(key):
		return n.Prefix + n.whole(key)
	}
	return name
}

// canHold reports whether the store can keep a record under that name.
func (n Naming) canHold(name string) bool {
	switch {
	case n.Limit > 0 && len(name) > n.Limit:
		return false
	case n.Reserved != nil && n.Reserved(name):
		return false
	}
	return n.Native == nil || n.Native(name)
}

// Key returns the key that has this name. ok is false for a name that no key has, such as
// another program's.
func (n Naming) Key(name string) (key string, ok bool) {
	rest, ours := strings.CutPrefix(name, n.Prefix)
	if !ours {
		return "", false
	}
	whole, isWhole := n.wholeKey(rest)
	switch {
	case isWhole && n.Name(whole) == name:
		return whole, true
	case n.Native != nil:
		key = rest
	default:
		key = n.unescape(rest)
	}
	// The key has one name, which Name makes. Another spelling, such as lower-case
	// digits or an escaped letter, is another program's.
	return key, core.ValidateKey(key) == nil && n.Name(key) == name
}

// standsForAnother reports a key that is the base32 name of another key, and can't be its
// own name.
func (n Naming) standsForAnother(key string) bool {
	other, ok := n.wholeKey(key)
	return ok && n.Name(other) == n.Prefix+key
}

// whole returns the name without the prefix that has the base32 of the whole key.
func (n Naming) whole(key string) string {
	return string([]byte{n.Escape, n.Escape}) + base32Lower.EncodeToString([]byte(key))
}

// wholeKey reverses whole.
func (n Naming) wholeKey(rest string) (key string, ok bool) {
	text, ok := strings.CutPrefix(rest, string([]byte{n.Escape, n.Escape}))
	if !ok {
		return "", false
	}
	raw, err := base32Lower.DecodeString(text)
	return string(raw), err == nil && core.ValidateKey(string(raw)) == nil
}

// unescape reverses escape. If escape didn't make rest, the result has another name.
func (n Naming) unescape(rest string) (key string) {
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == n.Escape {
			if i+2 >= len(rest) {
				return ""
			}
			c = unhex(rest[i+1])<<4 | unhex(rest[i+2])
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String()
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

// plain reports whether a byte stands for itself in a name.
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

// SwapCase exchanges upper and lower case in ASCII. The result is another name, unless a
// store doesn't tell names apart that differ only in case.
func SwapCase(name string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c ^ ' '
		}
		return c
	}, name)
}

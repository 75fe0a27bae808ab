package env

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister]. It needs a prefix, because nothing else tells a record
// from any other variable. Without one, its only element is an error that wraps
// [errors.ErrUnsupported].
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		if b.prefix == "" {
			return fmt.Errorf("%w: set Options.Prefix, since without it any variable could be a record", errors.ErrUnsupported)
		}
		names, err := b.place.names()
		for _, name := range names {
			rest, ok := strings.CutPrefix(name, b.prefix)
			if !ok {
				continue
			}
			if key, ok := b.naming.Key(rest); ok && !yield(key) {
				return nil
			}
		}
		return err
	})
}

func (b *Backend) name(key string) string { return b.prefix + b.naming.Name(key) }

// naming maps keys to names and back, as backend.Naming does.
type naming interface {
	Name(key string) string
	Key(name string) (key string, ok bool)
}

// newNaming returns the names of variables under an operating system.
func newNaming(goos string) naming {
	n := backend.Naming{Escape: '%', Limit: backend.LongestName}
	if goos == "windows" {
		n.FoldsCase = true
		return upperCase{n}
	}
	return n
}

// upperCase is for systems where variables that differ in case are one. There
// backend.Naming escapes upper case. Variables are written in upper case, though,
// and O365TOKEN must be found, so this escapes lower case instead: it names the
// key with its case swapped, and swaps the name back.
type upperCase struct{ backend.Naming }

func (n upperCase) Name(key string) string { return swapCase(n.Naming.Name(swapCase(key))) }

func (n upperCase) Key(name string) (string, bool) {
	key, ok := n.Naming.Key(swapCase(name))
	return swapCase(key), ok
}

// swapCase exchanges upper and lower case in ASCII.
func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r > unicode.MaxASCII:
			return r
		case unicode.IsUpper(r):
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

// identifiers are names in a dotenv file, where many readers take letters,
// digits, "_" and "." only. A key with anything else, or one that looks so
// written, becomes "__" and its base32.
type identifiers struct{}

const whole = "__"

var identifier = backend.Naming{Escape: '%', Reserved: func(name string) bool {
	return strings.HasPrefix(name, whole) || !isIdentifier(name)
}}

func (identifiers) Name(key string) string {
	name := identifier.Name(key)
	if base32, ok := strings.CutPrefix(name, "%%"); ok {
		return whole + base32
	}
	return name
}

func (identifiers) Key(name string) (string, bool) {
	if base32, ok := strings.CutPrefix(name, whole); ok {
		name = "%%" + base32
	}
	return identifier.Key(name)
}

func (variables) native(prefix string) naming {
	return backend.Naming{Escape: '%', Native: func(name string) bool { return variables{}.begins(prefix + name) }}
}

func (dotenv) native(prefix string) naming {
	return backend.Naming{Escape: '_', Native: func(name string) bool { return isIdentifier(prefix + name) }}
}

func isIdentifier(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

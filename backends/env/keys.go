package env

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"runtime"
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister]. It needs a prefix, because nothing else tells a record
// from any other variable. Without one, its only element is an error that wraps
// [errors.ErrUnsupported].
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		if b.o.Prefix == "" {
			return fmt.Errorf("%w: set Options.Prefix, since without it any variable could be a record", errors.ErrUnsupported)
		}
		names, err := b.place.names()
		for _, name := range names {
			rest, ok := strings.CutPrefix(name, b.o.Prefix)
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

func (b *Backend) name(key string) string { return b.o.Prefix + b.naming.Name(key) }

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

// upperCase is for systems where variables that differ only in case are one variable. There
// backend.Naming escapes upper case. But names of variables are usually in upper case, and
// O365TOKEN must be found. So upperCase escapes lower case instead: it swaps the key's case,
// names the result, and swaps the name's case.
type upperCase struct{ backend.Naming }

func (n upperCase) Name(key string) string {
	return backend.SwapCase(n.Naming.Name(backend.SwapCase(key)))
}

func (n upperCase) Key(name string) (string, bool) {
	key, ok := n.Naming.Key(backend.SwapCase(name))
	return backend.SwapCase(key), ok
}

// identifiers are names in a dotenv file: many readers accept only letters, digits, "_" and
// ".". A key with other characters, and a key that begins with "__", becomes "__" and its
// base32.
var identifiers = backend.Naming{Escape: '_', Native: isIdentifier, Reserved: func(name string) bool { return strings.HasPrefix(name, "__") }}

func (variables) naming(native bool) naming {
	if native {
		return backend.Naming{Escape: '%', Native: variables{}.begins}
	}
	return newNaming(runtime.GOOS)
}

func (dotenv) naming(native bool) naming {
	n := identifiers
	if native {
		n.Reserved = nil
	}
	return n
}

var isIdentifier = regexp.MustCompile(`^[A-Za-z0-9_.]*$`).MatchString

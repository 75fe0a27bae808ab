package redis

import (
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Redis accepts any bytes in a key. Braces are escaped all the same, because a name with
// a brace would no longer be a hash tag. Other bytes are escaped so that names are the
// same as in other stores, and easy to type.
var naming = backend.Naming{Escape: '%'}

// place has the names of everything that belongs to a key.
type place struct {
	record  string
	lease   string
	channel string
}

func (b *Backend) place(key string) place { return b.placeOf(naming.Name(key)) }

func (b *Backend) placeOf(name string) place {
	record := b.prefix + "{" + name + "}"
	return place{record: record, lease: record + ":lease", channel: record + ":wake"}
}

// key returns the key of a record's name. A record of another backend has none, even if
// its prefix begins with this one's, because names have no braces.
func (b *Backend) key(record string) (key string, ok bool) {
	name, ok := strings.CutPrefix(record, b.prefix+"{")
	if !ok {
		return "", false
	}
	if name, ok = strings.CutSuffix(name, "}"); !ok {
		return "", false
	}
	return naming.Key(name)
}

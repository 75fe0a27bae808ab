package redis

import (
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Redis takes any bytes for a key. Braces must be escaped all the same, since a
// name that contains one would be no hash tag any more; the rest is escaped so
// that names are the same as in other stores, and easy to type.
var naming = backend.Naming{Escape: '%'}

// place is where everything about a key is kept.
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

// key is the key whose record this is. No other backend's record is taken for
// one, even where its prefix begins with this one's: names have no braces.
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

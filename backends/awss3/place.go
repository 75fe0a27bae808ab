package awss3

import (
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// naming makes the last part of an object's name. Of the characters that Amazon
// calls safe in any name, "!" is the one that a key is least likely to have.
//
// An object named "soap" can't be reached by virtual-hosted-style requests, and
// dots alone are path segments to much that handles URLs. See "Naming Amazon S3
// objects" in the S3 User Guide.
//
// S3 would take names of 1,024 bytes. Gateways to file systems take 255 between
// two slashes.
var naming = core.Naming{
	Escape: '!',
	Limit:  maxName,
	Reserved: func(name string) bool {
		return name == "soap" || name == "." || name == ".."
	},
}

const (
	maxName   = 255
	maxPrefix = 1024 - len(leases) - maxName
)

// What isn't a record lies where no key's name can be: there "!" is followed by
// two digits or another "!".
const (
	leases = "!lease/"
	probes = "!probe/"
)

func (b *Backend) record(key string) string { return b.o.Prefix + naming.Name(key) }
func (b *Backend) lease(key string) string  { return b.o.Prefix + leases + naming.Name(key) }

// key is the key whose record this is.
func (b *Backend) key(name string) (key string, ok bool) {
	if name, ok = strings.CutPrefix(name, b.o.Prefix); !ok {
		return "", false
	}
	return naming.Key(name)
}

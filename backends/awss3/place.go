package awss3

import (
	"strings"
	"unicode"

	"github.com/graphtoken/graphtoken/core/backend"
)

// named are the names of objects after a prefix. Of the characters that Amazon
// calls safe in any name, "!" is the one that a key is least likely to have.
//
// An object named "soap" can't be reached by virtual-hosted-style requests, and
// dots alone are path segments to much that handles URLs. See "Naming Amazon S3
// objects" in the S3 User Guide.
//
// S3 would take names of 1,024 bytes. Gateways to file systems take 255 between
// two slashes.
func named(prefix string) backend.Naming {
	return backend.Naming{Prefix: prefix, Escape: '!', Limit: len(prefix) + maxName, Reserved: func(name string) bool {
		name = name[len(prefix):]
		return name == "soap" || name == "." || name == ".."
	}}
}

// recordNames are the names of records. With Options.NativeNames they may have slashes,
// and so may be below what isn't a record.
func recordNames(o Options) backend.Naming {
	n := named(o.Prefix)
	if !o.NativeNames {
		return n
	}
	reserved := n.Reserved
	n.Reserved = func(name string) bool {
		rest := name[len(o.Prefix):]
		return reserved(name) || strings.HasPrefix(rest, leases) || strings.HasPrefix(rest, probes)
	}
	n.Native = func(name string) bool {
		for part := range strings.SplitSeq(name, "/") {
			if part == "." || part == ".." || strings.ContainsFunc(part, unicode.IsControl) {
				return false
			}
		}
		return true
	}
	return n
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

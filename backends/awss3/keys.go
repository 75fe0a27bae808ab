package awss3

import (
	"context"
	"iter"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister], with one ListObjectsV2 for each thousand objects. A
// record that is saved or deleted at the same time may be listed or not.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		in := &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &b.o.Prefix}
		if !b.o.NativeNames {
			// The names of records have no slash. With this delimiter the store leaves
			// out leases and everything else below a slash.
			in.Delimiter = aws.String("/")
		}
		pages := s3.NewListObjectsV2Paginator(b.client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, object := range page.Contents {
				if key, ok := b.records.Key(aws.ToString(object.Key)); ok && !yield(key) {
					return nil
				}
			}
		}
		return nil
	})
}

// named is how keys become names of objects, after the prefix. Among the characters that
// Amazon calls safe in any name, "!" is the one that is rarest in keys.
//
// An object named "soap" can't be reached by virtual-hosted-style requests, and many
// programs that handle URLs treat "." and ".." as path segments. See "Naming Amazon S3
// objects" in the S3 User Guide.
//
// S3 allows names of 1,024 bytes. Gateways to file systems allow 255 bytes between two
// slashes.
func named(prefix string) backend.Naming {
	return backend.Naming{Prefix: prefix, Escape: '!', Limit: len(prefix) + maxName, Reserved: func(name string) bool {
		name = name[len(prefix):]
		return name == "soap" || name == "." || name == ".."
	}}
}

// recordNames is how keys become names of records. With Options.NativeNames a name may
// have slashes, and so a record may be below the name of another object.
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

// Objects that aren't records have names that no key can have: in a key's name, "!" is
// followed by two digits or by another "!".
const (
	leases = "!lease/"
	probes = "!probe/"
)

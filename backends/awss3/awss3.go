// Package awss3 keeps token records in Amazon S3, or in another store that speaks the
// S3 protocol and obeys its conditions. Programs in a cloud can share the records
// without a server of their own.
//
//	cfg, err := config.LoadDefaultConfig(ctx) // of github.com/aws/aws-sdk-go-v2/config
//	if err != nil {
//		return err
//	}
//	backend, err := awss3.New(s3.NewFromConfig(cfg), "contoso-tokens", awss3.Options{Prefix: "graph/"})
//	if err != nil {
//		return err
//	}
//	if err := backend.Ping(ctx); err != nil { // once: does the store obey conditions?
//		return err
//	}
//	store := core.NewStore(backend)
//
// # What is stored
//
//	graph/ana!40contoso.com         the record alone, as python-o365 reads and writes it
//	graph/!lease/ana!40contoso.com  the lease, while a process refreshes the record
//	graph/!probe/…                  Ping creates it to try conditions, and removes it
//
// A record's version is its ETag. Creating one is a PutObject with If-None-Match: *,
// replacing one a PutObject with If-Match, and releasing a lease a DeleteObject
// with If-Match.
package awss3

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Options configures a [Backend]. The zero value can be used as it is.
type Options struct {
	// Prefix begins the name of every object. It is used unchanged: UTF-8 without NUL, at
	// most 762 bytes. End it with "/": otherwise the prefix "a" with the key "bc" and the
	// prefix "ab" with the key "c" are the same object.
	Prefix string

	// NativeNames uses the key as the name of its object, with all its bytes. With it a
	// program can use records that another program has named, such as
	// "contoso/ana@contoso.com token.txt". Only a key that some stores can't use as a
	// name gets another one: a key with control characters, or with "." or ".." between
	// slashes. Without NativeNames, bytes outside of [A-Za-z0-9._-] are escaped. All
	// programs that share the records must use the same setting. With it, every object
	// below Prefix is a record: if one Prefix begins another, its Backend also sees the
	// other's records.
	NativeNames bool

	// ServerSideEncryption is the encryption of every object that is written, such as
	// types.ServerSideEncryptionAwsKms. Empty means the bucket's setting.
	ServerSideEncryption types.ServerSideEncryption

	// KMSKeyID is the id, ARN or alias of the key for an encryption by AWS KMS. Empty
	// means the account's aws/s3 key.
	KMSKeyID string

	// BucketKey tells S3 to derive data keys from a key of the bucket, which saves one
	// call of AWS KMS for each object. False means the bucket's setting.
	BucketKey bool

	// ContentType is the Content-Type of records. Empty means the SDK's default,
	// application/octet-stream: a record may be encrypted.
	ContentType string
}

// Backend is a [core.TokenBackend] over a bucket. Any number of Backends, in any number
// of processes, can share one bucket.
type Backend struct {
	client *s3.Client
	bucket string
	o      Options

	records, leases backend.Naming
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
)

// New returns the backend of a bucket. bucket is its name, or the ARN of an access point.
// New doesn't contact the store; [Backend.Ping] tells whether the store is suitable. The
// caller configures the client's region, credentials, endpoint and retries.
func New(client *s3.Client, bucket string, o Options) (*Backend, error) {
	b, err := newBackend(client, bucket, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(client *s3.Client, bucket string, o Options) (*Backend, error) {
	if err := origin.Require(client); err != nil {
		return nil, err
	}
	switch {
	case bucket == "":
		return nil, errors.New("the bucket's name is empty")
	case !utf8.ValidString(o.Prefix) || strings.ContainsRune(o.Prefix, 0) || len(o.Prefix) > maxPrefix:
		return nil, fmt.Errorf("%w: the prefix %q is too long, or isn't UTF-8, or has a NUL", core.ErrInvalidKey, o.Prefix)
	case o.KMSKeyID != "" && !strings.HasPrefix(string(o.ServerSideEncryption), "aws:kms"):
		return nil, fmt.Errorf("KMSKeyID is set, but ServerSideEncryption is %q, which doesn't use it", o.ServerSideEncryption)
	}
	return &Backend{client: client, bucket: bucket, o: o, records: recordNames(o), leases: named(o.Prefix + leases)}, nil
}

// Place implements [core.Locator]: Backends are the same place if they have the same
// client, bucket, Prefix and NativeNames.
func (b *Backend) Place() any { return [...]any{b.client, b.bucket, b.o.Prefix, b.o.NativeNames} }

// origin names the backend in its errors.
const origin backend.Origin = "awss3"

// Package awss3 keeps token records in Amazon S3, or in a store that speaks its
// protocol and honours its conditions: what programs in a cloud share without a
// server of their own.
//
//	cfg, err := config.LoadDefaultConfig(ctx) // of github.com/aws/aws-sdk-go-v2/config
//	if err != nil {
//		return err
//	}
//	backend, err := awss3.New(s3.NewFromConfig(cfg), "contoso-tokens", awss3.Options{Prefix: "graph/"})
//	if err != nil {
//		return err
//	}
//	if err := backend.Ping(ctx); err != nil { // once: does the store honour conditions?
//		return err
//	}
//	store := core.NewStore(backend)
//
// # What is stored
//
//	graph/ana!40contoso.com         the record, and nothing else: what python-o365 reads and writes
//	graph/!lease/ana!40contoso.com  who refreshes it; there while somebody does
//	graph/!probe/…                  what Ping tries conditions on, and removes
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

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins the name of every object, as it is: UTF-8 without NUL, of
	// at most 762 bytes. Two Backends see each other's records where one's
	// prefix and key make the other's name, which a prefix that ends in "/"
	// rules out.
	Prefix string

	// NativeNames makes a key the name of its object, whatever bytes it has, so that
	// records can be used that another program has named, such as
	// "contoso/ana@contoso.com token.txt". Only a key that can't be a name everywhere gets
	// another one: with control characters, or with "." or ".." between slashes. Without
	// NativeNames, bytes outside of [A-Za-z0-9._-] are escaped. All programs that share
	// the records must agree on it. Every object below Prefix is a record then: a Prefix
	// that begins another's sees its records.
	NativeNames bool

	// ServerSideEncryption is the encryption of every object that is written,
	// such as types.ServerSideEncryptionAwsKms. Empty means the bucket's own.
	ServerSideEncryption types.ServerSideEncryption

	// KMSKeyID is the key's id, ARN or alias for an encryption by AWS KMS.
	// Empty means the account's aws/s3 key.
	KMSKeyID string

	// BucketKey has S3 derive data keys from a key of the bucket, which spares
	// a call of AWS KMS for each object. False means the bucket's own setting.
	BucketKey bool

	// ContentType is the Content-Type of records. Empty means the SDK's,
	// application/octet-stream: a record may be encrypted.
	ContentType string
}

// Backend is a [core.TokenBackend] over a bucket. Any number of Backends, in any
// number of processes, can share one.
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

// New returns the backend of a bucket, whose name may also be the ARN of an
// access point. It doesn't ask the store anything; see [Backend.Ping] to learn
// whether it is fit. The client's region, credentials, endpoint and retries are
// the caller's to configure.
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
		return nil, errors.New("no bucket")
	case !utf8.ValidString(o.Prefix) || strings.ContainsRune(o.Prefix, 0) || len(o.Prefix) > maxPrefix:
		return nil, fmt.Errorf("%w: %q can't be a prefix", core.ErrInvalidKey, o.Prefix)
	case o.KMSKeyID != "" && !strings.HasPrefix(string(o.ServerSideEncryption), "aws:kms"):
		return nil, fmt.Errorf("a KMS key, and the encryption is %q", o.ServerSideEncryption)
	}
	return &Backend{client: client, bucket: bucket, o: o, records: recordNames(o), leases: named(o.Prefix + leases)}, nil
}

// Place implements [core.Locator]: Backends are one place where they have the same
// client, bucket and prefix.
func (b *Backend) Place() any { return [...]any{b.client, b.bucket, b.o.Prefix, b.o.NativeNames} }

// origin names the backend in its errors.
const origin backend.Origin = "awss3"

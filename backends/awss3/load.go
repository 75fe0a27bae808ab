package awss3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend], with one GetObject. An object without
// content is core.ErrCorrupt.
//
// Where nothing is stored, S3 tells so only those who may list the bucket, and
// others that access is denied, which is then what Load answers.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		stored, err := b.get(ctx, b.records.Name(key))
		return core.Record{Data: stored.data, Version: stored.version, Modified: stored.modified}, err
	})
}

// Check implements [core.TokenBackend], with one GetObject. The answer to a
// HeadObject has no body that would tell a missing bucket from a missing object.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		_, err := b.get(ctx, b.records.Name(key))
		if errors.Is(err, core.ErrNotFound) {
			return false, nil
		}
		return true, err
	})
}

// object is what is stored under a name.
type object struct {
	data     []byte
	version  core.Version
	writer   string    // of a write with a condition, see put
	modified time.Time // to the second, by the store's clock
	now      time.Time // when the store answered, likewise; zero if it doesn't say
}

// get returns an object, whole, or core.ErrNotFound.
func (b *Backend) get(ctx context.Context, name string) (object, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: &name})
	if missing(err) {
		return object{}, core.ErrNotFound
	}
	if err != nil {
		return object{}, err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		return object{}, err
	}
	// The SDK compares checksums where the store has them, and net/http the
	// length; what sits between them may not.
	if n := out.ContentLength; n != nil && *n != int64(len(data)) {
		return object{}, fmt.Errorf("%w: %d of %d bytes", io.ErrUnexpectedEOF, len(data), *n)
	}
	version, err := versionOf(out.ETag)
	return object{data: data, version: version, writer: out.Metadata[writerField], modified: aws.ToTime(out.LastModified), now: answeredAt(out.ResultMetadata)}, err
}

package awss3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend], with one GetObject. An object without content is
// core.ErrCorrupt.
//
// If nothing is stored, S3 says so only to callers who may list the bucket. To others it
// answers that access is denied, and then Load returns that error.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		stored, err := b.get(ctx, b.records.Name(key), core.Absent)
		return core.Record{Data: stored.data, Version: stored.version, Modified: stored.modified}, err
	})
}

// Check implements [core.TokenBackend], with one GetObject. HeadObject isn't enough: its
// answer has no body, so a missing bucket would look like a missing object.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		_, err := b.get(ctx, b.records.Name(key), core.Absent)
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
	writer   string    // marks a write with a condition, see put
	modified time.Time // in whole seconds, by the store's clock
	now      time.Time // the time of the answer, in whole seconds; zero if the store doesn't say
}

// get returns the whole object, or core.ErrNotFound. If its version is known, the store
// leaves out everything else.
func (b *Backend) get(ctx context.Context, name string, known core.Version) (object, error) {
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &name}
	if etag, ok := etagOf(known); ok {
		in.IfNoneMatch = &etag
	}
	out, err := b.client.GetObject(ctx, in)
	switch {
	case status(err) == http.StatusNotModified:
		return object{version: known}, nil
	case missing(err):
		return object{}, core.ErrNotFound
	case err != nil:
		return object{}, err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		return object{}, err
	}
	// The SDK compares checksums if the store has them, and net/http compares the length.
	// A proxy between them may do neither.
	if n := out.ContentLength; n != nil && *n != int64(len(data)) {
		return object{}, fmt.Errorf("%w: %d of %d bytes", io.ErrUnexpectedEOF, len(data), *n)
	}
	version, err := versionOf(out.ETag)
	return object{data: data, version: version, writer: out.Metadata[writerField], modified: aws.ToTime(out.LastModified), now: answeredAt(out.ResultMetadata)}, err
}

package awss3

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend], with one DeleteObject. It doesn't remove the
// lease, which belongs to its holder. A bucket with versioning keeps the deleted record
// as an old version.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		_, err := b.remove(ctx, b.records.Name(key), core.AnyVersion)
		return err
	})
}

// remove deletes an object if its stored version equals known, and returns core.ErrConflict
// otherwise. It is no error if nothing is stored, since some stores don't report that. It
// returns the time of the deletion by the store's clock.
func (b *Backend) remove(ctx context.Context, name string, known core.Version) (time.Time, error) {
	in := &s3.DeleteObjectInput{Bucket: &b.bucket, Key: &name}
	if known != core.AnyVersion {
		etag, ok := etagOf(known)
		if !ok {
			return time.Time{}, core.ErrConflict
		}
		in.IfMatch = &etag
	}
	out, err := untilSettled(ctx, func() (*s3.DeleteObjectOutput, error) { return b.client.DeleteObject(ctx, in) })
	switch {
	case missing(err):
		return refusedAt(err), nil
	case status(err) == http.StatusPreconditionFailed:
		return time.Time{}, core.ErrConflict
	case err != nil:
		return time.Time{}, err
	}
	return answeredAt(out.ResultMetadata), nil
}

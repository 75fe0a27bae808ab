package awss3

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend], with one DeleteObject. It leaves the
// lease, which is its holder's. A bucket that keeps versions keeps the deleted
// record too.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		_, err := b.remove(ctx, b.records.Name(key), core.AnyVersion)
		return err
	})
}

// remove deletes an object where what is stored has the version known, and
// answers core.ErrConflict elsewhere. That nothing is stored is no error, since
// some stores don't say so. It returns when the store deleted, by its clock.
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

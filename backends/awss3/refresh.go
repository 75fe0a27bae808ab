package awss3

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the leases of
// Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. S3 can't notify anybody, so Wait asks again and again:
// soon at first, since providers answer within a second, and then less and less often,
// since every look is charged. A look is two GetObject: one for the record, with the
// condition that its ETag is new, and one for the lease. They cost much less than the
// PutObject that Acquire would try each time.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		First: 100 * time.Millisecond,
		Last:  2 * time.Second,
		Look:  backend.TwoLooks(seen, b.current, b.left),
	})
}

// current is the stored version of a record. known is the version seen last. It doesn't use
// HeadObject, whose errors have no body: a missing bucket would look like a missing
// object, and the SDK couldn't detect a wrong clock.
func (b *Backend) current(ctx context.Context, key string, known core.Version) (core.Version, error) {
	name := b.records.Name(key)
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &name}
	if etag, ok := etagOf(known); ok {
		in.IfNoneMatch = &etag
	}
	out, err := b.client.GetObject(ctx, in)
	switch {
	case status(err) == http.StatusNotModified:
		return known, nil
	case missing(err):
		return core.Absent, nil
	case err != nil:
		return "", err
	}
	defer out.Body.Close()
	return versionOf(out.ETag)
}

// left is how much longer the lease of a key lasts.
func (b *Backend) left(ctx context.Context, key string) (time.Duration, error) {
	held, now, err := b.lockOf(ctx, b.leases.Name(key))
	if errors.Is(err, core.ErrNotFound) {
		return 0, nil
	}
	return held.left(now), err
}

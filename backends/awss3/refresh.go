package awss3

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// How long Wait pauses: shortly at first, since providers answer within a
// second, and then less and less often, since every look is charged.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 2 * time.Second
)

// Wait implements [core.Watcher]. S3 wakes nobody: Wait looks again and again,
// by two GetObject, of the record if it has another ETag, and of the lease. They
// cost a fraction of the PutObject that Acquire would try each time.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := origin.Admit(ctx, "wait", key); err != nil {
		return err
	}
	for pause := firstLook; ; pause = min(pause*3/2, lastLook) {
		changed, err := b.changed(ctx, key, seen)
		if err == nil && !changed {
			err = sleep(ctx, pause)
		}
		if err != nil || changed {
			return origin.Fail("wait", key, err)
		}
	}
}

// changed says whether the record is another than the one seen, or its lease
// is free.
func (b *Backend) changed(ctx context.Context, key string, seen core.Version) (bool, error) {
	if same, err := b.unchanged(ctx, b.record(key), seen); !same || err != nil {
		return err == nil, err
	}
	held, now, err := b.look(ctx, b.lease(key))
	if errors.Is(err, core.ErrNotFound) {
		return true, nil
	}
	return err == nil && held.expired(now), err
}

// unchanged says whether an object still has the version seen. It doesn't ask
// by HeadObject, whose errors have no body: a missing bucket couldn't be told
// from a missing object, nor could the SDK see that a clock is wrong.
func (b *Backend) unchanged(ctx context.Context, name string, seen core.Version) (bool, error) {
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &name}
	if etag, ok := etagOf(seen); ok {
		in.IfNoneMatch = &etag
	}
	out, err := b.client.GetObject(ctx, in)
	switch {
	case status(err) == http.StatusNotModified:
		return true, nil
	case missing(err):
		return seen == core.Absent, nil
	case err != nil:
		return false, err
	}
	return false, out.Body.Close()
}

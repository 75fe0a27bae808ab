package awss3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Save implements [core.TokenBackend], with one PutObject.
//
// The SDK may send the request twice, when the answer to the first was lost. If the
// second is refused, Save loads the object that was in the way, which may be its own.
// Rarely, another process has replaced it by then. In this case Save returns
// core.ErrConflict although the record was stored, and the other process has seen it.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, 0), func() (core.Version, error) {
		version, _, err := b.put(ctx, b.records.Name(key), b.o.ContentType, rec.Data, rec.Version)
		return version, err
	})
}

// put writes an object if its stored version equals known, and returns core.ErrConflict
// otherwise. It returns the new version, and the time of the write: in whole seconds by
// the store's clock, or zero if the store doesn't say.
func (b *Backend) put(ctx context.Context, name, contentType string, data []byte, known core.Version) (core.Version, time.Time, error) {
	in := &s3.PutObjectInput{
		Bucket:               &b.bucket,
		Key:                  &name,
		ServerSideEncryption: b.o.ServerSideEncryption,
	}
	if contentType != "" {
		in.ContentType = &contentType
	}
	if b.o.KMSKeyID != "" {
		in.SSEKMSKeyId = &b.o.KMSKeyID
	}
	if b.o.BucketKey {
		in.BucketKeyEnabled = aws.Bool(true)
	}
	switch known {
	case core.AnyVersion:
	case core.Absent:
		in.IfNoneMatch = aws.String("*")
	default:
		etag, ok := etagOf(known)
		if !ok {
			return "", time.Time{}, core.ErrConflict
		}
		in.IfMatch = &etag
	}
	writer := rand.Text()
	if known != core.AnyVersion {
		in.Metadata = map[string]string{writerField: writer}
	}
	var sent int
	out, err := untilSettled(ctx, func() (*s3.PutObjectOutput, error) {
		in.Body = bytes.NewReader(data)
		return b.client.PutObject(ctx, in, counting(&sent))
	})
	switch {
	case known != core.AnyVersion && refused(err) && sent == 1:
		return "", time.Time{}, core.ErrConflict
	case known != core.AnyVersion && (refused(err) || len(data) >= large && unanswered(err)):
		return b.writtenBy(ctx, name, writer, known, err)
	case err != nil:
		return "", time.Time{}, err
	}
	version, err := versionOf(out.ETag)
	return version, answeredAt(out.ResultMetadata), err
}

// writerField is the metadata field by which a write with a condition recognizes its
// object. The ETag or the content won't do: two writers may write the same content.
const writerField = "graphtoken-writer"

// writtenBy is put's result for a write that was refused when it was sent once more, or
// that got no answer: the stored object tells whether it is the one that put wrote. If it
// can't be told, the error is cause, with the reason.
func (b *Backend) writtenBy(ctx context.Context, name, writer string, known core.Version, cause error) (core.Version, time.Time, error) {
	stored, err := b.get(ctx, name, core.Absent)
	switch {
	case err == nil && stored.writer == writer:
		return stored.version, stored.modified, nil
	case err != nil && !errors.Is(err, core.ErrNotFound):
		return "", time.Time{}, errors.Join(err, cause)
	case refused(cause), stored.version != known:
		return "", time.Time{}, core.ErrConflict
	}
	return "", time.Time{}, cause
}

// large is the size from which a store may refuse a request before it has read all of it.
// It then ends the connection, and the client, which is still sending, gets an error of
// the connection instead of the answer.
const large = 64 << 10

// unanswered reports whether the connection of a request was ended without an answer.
func unanswered(err error) bool {
	_, ended := errors.AsType[*smithyhttp.RequestSendError](err)
	return ended
}

// counting counts how often a request is sent, including the SDK's retries.
func counting(sent *int) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("graphtokenCounting",
				func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
					*sent++
					return next.HandleDeserialize(ctx, in)
				}), middleware.After)
		})
	}
}

// untilSettled calls until the answer isn't 409, for about 1.3 seconds. While another
// conditional write of the same object is running, Amazon answers 409
// ConditionalRequestConflict: the client should try again. The SDK doesn't.
func untilSettled[T any](ctx context.Context, call func() (T, error)) (out T, err error) {
	busy := func(err error) bool { return status(err) == http.StatusConflict }
	err = backend.Retry(ctx, 7, 20*time.Millisecond, busy, func() (err error) {
		out, err = call()
		return err
	})
	return out, err
}

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

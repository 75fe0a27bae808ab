package firestore

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// maxSize fits for every key. A document has at most 1 MiB, which includes its name (up
// to 6 KiB), the names of fields, the revision and Firestore's own bookkeeping
// (https://firebase.google.com/docs/firestore/quotas,
// https://firebase.google.com/docs/firestore/storage-size). It is also less than
// 1,048,487 bytes, the limit of a single value.
const maxSize = 1<<20 - 8<<10

// Save implements [core.TokenBackend], with one call. It takes two calls to return
// core.ErrConflict, and three to create a record in a document that exists because of
// other fields.
//
// If another field of the document changes, the record's version changes too.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, maxSize), func() (core.Version, error) { return b.save(ctx, key, rec) })
}

// MaxSize implements [core.SizeLimiter]. If the document has other fields, less fits.
func (b *Backend) MaxSize() int { return maxSize }

func (b *Backend) save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	doc, known := b.place(key).record, rec.Version
	fields := map[string]any{b.field: valueOf(rec.Data), b.revision: rand.Text()}
	for {
		version, instead, err := b.put(ctx, doc, fields, b.revision, known)
		switch {
		case err != nil:
			return "", orTooLarge(len(rec.Data), err)
		case instead == nil:
			return version, nil
		case rec.Version != core.Absent || b.valueIn(instead) != nil:
			return "", core.ErrConflict
		}
		known = stateOf(instead) // a document that has only other fields, or one that was deleted meanwhile
	}
}

// valueOf is data as it is stored: as a string, which python-o365 reads, or as bytes if
// it isn't UTF-8.
func valueOf(data []byte) any {
	if utf8.Valid(data) {
		return string(data)
	}
	return data
}

var tooLarge = regexp.MustCompile(`\bsize\b|longer than`)

// orTooLarge recognizes the server's error for a document that is too large because of
// its other fields.
func orTooLarge(n int, err error) error {
	if s := status.Convert(err); s.Code() == codes.InvalidArgument && tooLarge.MatchString(s.Message()) {
		return fmt.Errorf("%w: %d bytes, together with the document's other fields: %w", core.ErrTooLarge, n, err)
	}
	return err
}

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

// maxSize is what fits whatever the key: a document has at most 1 MiB, of which
// its name can take 6 KiB, and the names of fields, the revision and the
// bookkeeping count too (https://firebase.google.com/docs/firestore/quotas,
// https://firebase.google.com/docs/firestore/storage-size). That is also less
// than the 1,048,487 bytes of a single value.
const maxSize = 1<<20 - 8<<10

// Save implements [core.TokenBackend], with one call. It takes two to answer
// core.ErrConflict, and three to create a record in a document that is there
// for the sake of other fields.
//
// A change of another field is another version of the record, too.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, maxSize), func() (core.Version, error) { return b.save(ctx, key, rec) })
}

// MaxSize implements [core.SizeLimiter]. Other fields of a document leave less.
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
		known = stateOf(instead) // a document for the sake of other fields, or gone meanwhile
	}
}

// valueOf is data as they are stored: as a string, which python-o365 reads,
// unless they can't be one.
func valueOf(data []byte) any {
	if utf8.Valid(data) {
		return string(data)
	}
	return data
}

var tooLarge = regexp.MustCompile(`\bsize\b|longer than`)

// orTooLarge recognizes what the server says of a document that other fields
// make too large.
func orTooLarge(n int, err error) error {
	if s := status.Convert(err); s.Code() == codes.InvalidArgument && tooLarge.MatchString(s.Message()) {
		return fmt.Errorf("%w: %d bytes beside the document's other fields: %w", core.ErrTooLarge, n, err)
	}
	return err
}

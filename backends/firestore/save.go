package firestore

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/firestore"
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

// MaxSize implements [core.SizeLimiter]: 1,040,384 bytes. If the document has other
// fields, less fits.
func (b *Backend) MaxSize() int { return maxSize }

func (b *Backend) save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	doc, known := b.place(key).record, rec.Version
	fields := map[string]any{b.field: valueOf(rec.Data), b.revision: rand.Text()}
	for {
		updated, instead, err := b.put(ctx, doc, fields, b.revision, known)
		switch {
		case err != nil:
			return "", orTooLarge(len(rec.Data), err)
		case instead == nil:
			return versionOf(updated), nil
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

// put writes fields of a document that is in the state known: any state
// (core.AnyVersion), absent (core.Absent), or last updated at a time. It returns the new
// update time. If the document was in another state, it returns that document as instead.
//
// One of the fields, revision, has a value that nobody else writes. If an answer gets
// lost with the connection, the client sends the write again, and then finds a document
// that it has changed itself. So after every failed write, put reads the document: if it
// has the revision, the write succeeded.
func (b *Backend) put(ctx context.Context, doc *firestore.DocumentRef, fields map[string]any, revision string, known core.Version) (updated time.Time, instead *firestore.DocumentSnapshot, err error) {
	write, err := writeOf(doc, fields, known)
	if err != nil {
		return time.Time{}, nil, err
	}
	result, err := patiently(ctx, write)
	if err == nil {
		return result.UpdateTime, nil, nil
	}
	found, unseen := b.get(ctx, doc)
	switch {
	case unseen == nil && fieldOf(found, revision) == fields[revision]:
		return found.UpdateTime, nil, nil
	case !refused(err):
		return time.Time{}, nil, err
	case unseen != nil:
		return time.Time{}, nil, unseen
	case known == core.AnyVersion, stateOf(found) == known && status.Code(err) != codes.AlreadyExists:
		// The condition isn't the reason: there was none, or it holds. (If a document was
		// in the way of a creation, it may be gone by now.)
		return time.Time{}, nil, err
	}
	return time.Time{}, found, nil
}

// write is one of DocumentRef's methods, with its arguments.
type write func(context.Context) (*firestore.WriteResult, error)

func writeOf(doc *firestore.DocumentRef, fields map[string]any, known core.Version) (write, error) {
	switch known {
	case core.AnyVersion:
		return func(ctx context.Context) (*firestore.WriteResult, error) {
			return doc.Set(ctx, fields, firestore.MergeAll)
		}, nil
	case core.Absent:
		return func(ctx context.Context) (*firestore.WriteResult, error) { return doc.Create(ctx, fields) }, nil
	}
	updated, ok := timeOf(known)
	if !ok {
		return nil, core.ErrConflict // no update time looks like this
	}
	var updates []firestore.Update
	for name, value := range fields {
		updates = append(updates, firestore.Update{FieldPath: firestore.FieldPath{name}, Value: value})
	}
	return func(ctx context.Context) (*firestore.WriteResult, error) {
		return doc.Update(ctx, updates, firestore.LastUpdateTime(updated))
	}, nil
}

// refused reports that a write's condition didn't hold. The server also answers NotFound
// and FailedPrecondition if the database doesn't exist or is in Datastore mode: then
// reading the document fails too.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound:
		return true
	}
	return false
}

// patiently writes, and tries again if the server gave up because others wrote at the
// same time. The server calls that Aborted, and the client returns it. Unavailable and
// ResourceExhausted the client tries again by itself. The emulator also answers Canceled,
// if a listener that it would tell of the write has just ended.
func patiently(ctx context.Context, w write) (result *firestore.WriteResult, err error) {
	aborted := func(err error) bool {
		code := status.Code(err)
		return code == codes.Aborted || code == codes.Canceled && ctx.Err() == nil
	}
	err = backend.Retry(ctx, 5, 20*time.Millisecond, aborted, func() (err error) {
		result, err = w(ctx)
		return err
	})
	return result, err
}

// Delete implements [core.TokenBackend], with one call; if nothing is stored, it may take
// two. It keeps the document and its other fields, see [Options.DeleteDocuments]. It
// doesn't remove the lease, which belongs to its holder.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error { return b.delete(ctx, b.place(key).record) })
}

func (b *Backend) delete(ctx context.Context, doc *firestore.DocumentRef) error {
	if b.deleteDocuments {
		_, err := patiently(ctx, func(ctx context.Context) (*firestore.WriteResult, error) { return doc.Delete(ctx) })
		return err
	}
	_, err := patiently(ctx, func(ctx context.Context) (*firestore.WriteResult, error) {
		return doc.Update(ctx, []firestore.Update{
			{FieldPath: firestore.FieldPath{b.field}, Value: nil},
			{FieldPath: firestore.FieldPath{b.revision}, Value: firestore.Delete},
		})
	})
	if status.Code(err) != codes.NotFound {
		return err
	}
	// Either the document or the database doesn't exist.
	_, err = b.get(ctx, doc)
	return err
}

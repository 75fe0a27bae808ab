package firestore

import (
	"context"
	"math/rand/v2"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// put writes fields of a document that is in the state known: any state
// (core.AnyVersion), absent (core.Absent), or last updated at a time. It returns the new
// state. If the document was in another state, it returns that document as instead.
//
// One of the fields, revision, has a value that nobody else writes. If an answer gets
// lost with the connection, the client sends the write again, and then finds a document
// that it has changed itself. So after every failed write, put reads the document: if it
// has the revision, the write succeeded.
func (b *Backend) put(ctx context.Context, doc *firestore.DocumentRef, fields map[string]any, revision string, known core.Version) (next core.Version, instead *firestore.DocumentSnapshot, err error) {
	write, err := writeOf(doc, fields, known)
	if err != nil {
		return "", nil, err
	}
	updated, err := patiently(ctx, write)
	if err == nil {
		return versionOf(updated), nil, nil
	}
	found, unseen := b.get(ctx, doc)
	switch {
	case unseen == nil && fieldOf(found, revision) == fields[revision]:
		return stateOf(found), nil, nil
	case !refused(err):
		return "", nil, err
	case unseen != nil:
		return "", nil, unseen
	case known == core.AnyVersion, stateOf(found) == known && status.Code(err) != codes.AlreadyExists:
		// The condition isn't the reason: there was none, or it holds. (If a document was
		// in the way of a creation, it may be gone by now.)
		return "", nil, err
	}
	return "", found, nil
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

const tries = 5

// patiently writes, and tries again if the server gave up because others wrote at the
// same time. The server calls that Aborted, and the client returns it. Unavailable and
// ResourceExhausted the client tries again by itself.
func patiently(ctx context.Context, w write) (updated time.Time, err error) {
	for n, pause := 1, 20*time.Millisecond; ; n, pause = n+1, 2*pause {
		result, err := w(ctx)
		if err == nil {
			return result.UpdateTime, nil
		}
		if status.Code(err) != codes.Aborted || n == tries || backend.Sleep(ctx, pause/2+rand.N(pause)) != nil {
			return time.Time{}, err
		}
	}
}

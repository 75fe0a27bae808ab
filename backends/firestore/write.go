package firestore

import (
	"context"
	"math/rand/v2"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// write is one of DocumentRef's methods, with its arguments.
type write func(context.Context) (*firestore.WriteResult, error)

// create writes a document that isn't there yet.
func create(doc *firestore.DocumentRef, fields map[string]any) write {
	return func(ctx context.Context) (*firestore.WriteResult, error) { return doc.Create(ctx, fields) }
}

// replace writes fields of a document that was last updated at known.
func replace(doc *firestore.DocumentRef, fields map[string]any, known time.Time) write {
	return func(ctx context.Context) (*firestore.WriteResult, error) {
		var updates []firestore.Update
		for name, value := range fields {
			updates = append(updates, firestore.Update{FieldPath: firestore.FieldPath{name}, Value: value})
		}
		return doc.Update(ctx, updates, firestore.LastUpdateTime(known))
	}
}

// overwrite writes fields of a document that may be there or not.
func overwrite(doc *firestore.DocumentRef, fields map[string]any) write {
	return func(ctx context.Context) (*firestore.WriteResult, error) {
		return doc.Set(ctx, fields, firestore.MergeAll)
	}
}

// put writes to a document something that has the given revision in one of its
// fields. It returns when that was done; or, where the write's condition didn't
// hold, what is there instead.
//
// The client sends a write again when the answer got lost with a connection,
// and then finds the document changed, by itself. So whenever a write fails,
// the document is looked at: what has the revision was written.
func (b *Backend) put(ctx context.Context, doc *firestore.DocumentRef, field, revision string, w write) (done time.Time, instead *firestore.DocumentSnapshot, err error) {
	done, err = patiently(ctx, w)
	if err == nil {
		return done, nil, nil
	}
	found, unseen := b.get(ctx, doc)
	if unseen == nil {
		if there, _ := fieldOf[string](found, field); there == revision {
			return found.UpdateTime, nil, nil
		}
	}
	if !refused(err) {
		return time.Time{}, nil, err
	}
	return time.Time{}, found, unseen
}

// refused reports that a write's condition didn't hold. NotFound is also what
// the server says of a database that isn't there: then looking fails as well.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound:
		return true
	}
	return false
}

const tries = 5

// patiently writes, and tries again where others wrote at the same time and the
// server gave up: that is Aborted, which the client returns, while Unavailable
// and ResourceExhausted are tried again by itself.
func patiently(ctx context.Context, w write) (time.Time, error) {
	pause := 20 * time.Millisecond
	for n := 1; ; n++ {
		result, err := w(ctx)
		if err == nil {
			return result.UpdateTime, nil
		}
		if status.Code(err) != codes.Aborted || n == tries {
			return time.Time{}, because(ctx, err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
			pause *= 2
		case <-ctx.Done():
			return time.Time{}, because(ctx, err)
		}
	}
}

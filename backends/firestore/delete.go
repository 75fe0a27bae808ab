package firestore

import (
	"context"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend], with one call; where nothing is stored
// it can take two. It leaves the document and its other fields, see
// [Options.DeleteDocuments], and it leaves the lease, which is its holder's.
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
	// The document isn't there, or else the database.
	_, err = b.get(ctx, doc)
	return err
}

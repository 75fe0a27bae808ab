package firestore

import (
	"context"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/core/backend"
)

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

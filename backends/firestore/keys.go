package firestore

import (
	"context"
	"iter"
	"strings"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core/backend"
)

// pageSize is how many documents are read at a time. Each is read with its record,
// because nothing else shows whether a document has one.
const pageSize = 100

// Keys implements [core.Lister], with one call for each hundred documents. Of each
// document it reads only the record. A record that is saved or deleted at the same time
// may be listed or not.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		// Ids are sorted by their bytes, so those with the prefix are adjacent.
		query := b.collection.SelectPaths(firestore.FieldPath{b.field}).OrderBy(firestore.DocumentID, firestore.Asc).Limit(pageSize)
		if prefix := b.naming.Prefix; prefix != "" {
			query = query.StartAt(prefix)
		}
		for {
			page, err := query.Documents(ctx).GetAll()
			for _, found := range page {
				if !strings.HasPrefix(found.Ref.ID, b.naming.Prefix) {
					return nil
				}
				if key, ok := b.naming.Key(found.Ref.ID); ok && b.valueIn(found) != nil && !yield(key) {
					return nil
				}
			}
			if err != nil || len(page) < pageSize {
				return err
			}
			query = query.StartAfter(page[pageSize-1].Ref.ID)
		}
	})
}

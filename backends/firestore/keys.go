package firestore

import (
	"context"
	"iter"
	"strings"

	"cloud.google.com/go/firestore"
)

// pageSize is how many documents are read at a time: they come with the record,
// since nothing else tells a document that has one.
const pageSize = 100

// Keys implements [core.Lister], with one call for each hundred documents. It
// reads the records, and of the documents nothing else. What is saved or deleted
// meanwhile may be listed or not.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		// Ids sort by their bytes: those with the prefix stand together.
		query := b.collection.SelectPaths(firestore.FieldPath{b.field}).OrderBy(firestore.DocumentID, firestore.Asc).Limit(pageSize)
		if b.prefix != "" {
			query = query.StartAt(b.prefix)
		}
		for {
			page, err := documents(ctx, query)
			if err != nil {
				yield("", origin.Fail("keys", "", err))
				return
			}
			for _, found := range page {
				name, ours := strings.CutPrefix(found.Ref.ID, b.prefix)
				if !ours {
					return
				}
				if key, ok := b.naming.Key(name); ok && b.valueIn(found) != nil && !yield(key, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			query = query.StartAfter(page[pageSize-1].Ref.ID)
		}
	}
}

func documents(ctx context.Context, query firestore.Query) ([]*firestore.DocumentSnapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := query.Documents(ctx).GetAll()
	return found, because(ctx, err)
}

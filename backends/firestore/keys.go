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

// leases is the subcollection of a record's document that holds its lease. No key can
// name a document in it, and a program that lists the documents of the records'
// collection doesn't see it.
const leases = "graphtoken_leases"

// newNaming is how keys become ids of documents.
func newNaming(o Options) backend.Naming {
	n := backend.Naming{Prefix: o.Prefix, Escape: '%', Reserved: isReserved}
	if o.NativeNames {
		n.Native = func(name string) bool { return !strings.Contains(name, "/") }
	}
	return n
}

// isReserved reports names that Firestore reserves. Other names may be any UTF-8 without
// a slash (https://firebase.google.com/docs/firestore/quotas, "Limits").
func isReserved(name string) bool {
	return name == "." || name == ".." || strings.HasPrefix(name, "__") && strings.HasSuffix(name[2:], "__")
}

// place is where a key's record and lease are stored.
type place struct {
	record, lease *firestore.DocumentRef
}

func (b *Backend) place(key string) place { return b.placeOf(b.naming.Name(key)) }

func (b *Backend) placeOf(name string) place {
	record := b.collection.Doc(name)
	// Backends that use another field of the same document have a lease for that field.
	return place{record: record, lease: record.Collection(leases).Doc(b.field)}
}

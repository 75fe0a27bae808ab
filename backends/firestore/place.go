package firestore

import (
	"strings"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core/backend"
)

// leases is the collection, below a record's document, of its lease. No key
// reaches there, and whoever lists the documents of the records' collection
// doesn't meet it.
const leases = "graphtoken_leases"

// newNaming is how keys become ids of documents.
func newNaming(o Options) backend.Naming {
	n := backend.Naming{Prefix: o.Prefix, Escape: '%', Reserved: isReserved}
	if o.NativeNames {
		n.Native = func(name string) bool { return !strings.Contains(name, "/") }
	}
	return n
}

// isReserved reports names that Firestore keeps for itself; others are UTF-8
// without a slash (https://firebase.google.com/docs/firestore/quotas, "Limits").
func isReserved(name string) bool {
	return name == "." || name == ".." || strings.HasPrefix(name, "__") && strings.HasSuffix(name[2:], "__")
}

// place is where everything about a key is kept.
type place struct {
	record, lease *firestore.DocumentRef
}

func (b *Backend) place(key string) place { return b.placeOf(b.naming.Name(key)) }

func (b *Backend) placeOf(name string) place {
	record := b.collection.Doc(name)
	// Those who keep another field of the same document lease that one.
	return place{record: record, lease: record.Collection(leases).Doc(b.field)}
}

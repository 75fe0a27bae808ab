package firestore

import (
	"strings"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core/backend"
)

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

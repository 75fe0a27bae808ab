// Package firestore keeps token records in Google Cloud Firestore (Native mode),
// in the field of a document where python-o365 keeps them: any number of workers
// share them, and there is no server to run.
//
//	client, err := gcp.NewClient(ctx, "my-project") // cloud.google.com/go/firestore
//	if err != nil {
//		return err
//	}
//	backend, err := firestore.New(client, "tokens", firestore.Options{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//
// # What is stored
//
//	tokens/ana%40contoso.com                         the document of a key
//	  token: "{…}"                                   the record: a string, or bytes where it is no UTF-8
//	  token_revision: "KQ3…"                         a random word, another one for each save
//	tokens/ana%40contoso.com/graphtoken_leases/token who refreshes the record, while somebody does
//
// Other fields of the document are somebody else's, and left alone. A document
// whose field is missing or null holds no record.
//
// A version is the document's update time, which is the condition Firestore
// itself can check. A write that changes nothing keeps the update time, and an
// answer can get lost: the revision makes every save a change, and tells whose
// it is.
package firestore

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// DefaultField is the field of a Backend that is told no other: python-o365's.
const DefaultField = "token"

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins the id of every document, as it is, and keeps apart those
	// who share a collection, unless the prefix of one begins that of another. It
	// is UTF-8 of at most 1,000 bytes, without NUL and slashes, and could be an id
	// itself: not ".", "..", or "__x__".
	Prefix string

	// Field is the name of the field that holds the record, DefaultField if
	// empty: at most 100 letters, digits and underscores, and no digit first.
	// Names that begin and end with two underscores are Firestore's own, and those
	// that end with "_revision" belong to another field.
	Field string

	// NativeNames makes a key the id of its document, whatever bytes it has, so that
	// records can be used that another program has named, such as
	// "token_ana@contoso.com". Only a key that can't be an id gets another name: one with
	// a slash, ".", ".." or "__x__". Without NativeNames, bytes outside of [A-Za-z0-9._-]
	// are escaped. All programs that share the records must agree on it.
	NativeNames bool

	// DeleteDocuments has Delete remove whole documents, whatever other fields
	// they have, as python-o365 does. It is for collections that hold nothing but
	// tokens. Without it Delete leaves the document, with a null in the field, for
	// python-o365's load_token fails where the field is missing.
	DeleteDocuments bool
}

// Backend is a [core.TokenBackend] over a collection of Firestore. Any number of
// Backends, in any number of processes, can share one.
type Backend struct {
	client          *firestore.Client
	collection      *firestore.CollectionRef
	naming          backend.Naming // has the prefix
	field, revision string
	deleteDocuments bool
	wakes           backend.Wakes
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.SizeLimiter    = (*Backend)(nil)
)

const maxPrefix = 1000 // ids have at most 1,500 bytes, and an escaped key 450

const revisionSuffix = "_revision"

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// New returns the backend of a collection in the client's database, the default
// one or a named one (firestore.NewClientWithDatabase). The collection is a name
// or a path, "tokens" or "apps/crm/tokens". The client stays the caller's to
// close; it must not have been told to read at a time in the past.
func New(client *firestore.Client, collection string, o Options) (*Backend, error) {
	b, err := newBackend(client, collection, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(client *firestore.Client, collection string, o Options) (*Backend, error) {
	if err := origin.Require(client); err != nil {
		return nil, err
	}
	at := client.Collection(collection)
	if at == nil {
		return nil, fmt.Errorf("%q is no path of a collection", collection)
	}
	field := cmp.Or(o.Field, DefaultField)
	if !fieldName.MatchString(field) || isReserved(field) || strings.HasSuffix(field, revisionSuffix) {
		return nil, fmt.Errorf("%q can't be a field's name", field)
	}
	if !utf8.ValidString(o.Prefix) || strings.ContainsAny(o.Prefix, "/\x00") || len(o.Prefix) > maxPrefix || isReserved(o.Prefix) {
		return nil, fmt.Errorf("%w: %q can't be a prefix", core.ErrInvalidKey, o.Prefix)
	}
	b := &Backend{
		client:          client,
		collection:      at,
		field:           field,
		revision:        field + revisionSuffix,
		deleteDocuments: o.DeleteDocuments,
		naming:          newNaming(o),
	}
	b.wakes.Listen = b.listen
	return b, nil
}

// Place implements [core.Locator]: Backends are one place where they have the same
// client, collection, prefix and field.
func (b *Backend) Place() any {
	return [...]any{b.client, b.collection.Path, b.naming.Prefix, b.field, b.naming.Native != nil}
}

// origin names the backend in its errors.
const origin backend.Origin = "firestore"

// Package firestore keeps token records in Google Cloud Firestore (Native mode), in
// the same document and field as python-o365. Any number of workers can share them,
// and you run no server.
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
//	  token: "{…}"                                   the record: a string, or bytes if it isn't UTF-8
//	  token_revision: "KQ3…"                         a random text, a new one for each save
//	tokens/ana%40contoso.com/graphtoken_leases/token the lease, while a process refreshes the record
//
// Other fields of the document belong to other programs and aren't changed. A document
// whose field is missing or null holds no record.
//
// A version is the document's update time, because that is the condition that Firestore
// can check with a write. The revision is needed for two reasons: a write that changes
// nothing would keep the update time, and if the answer to a save is lost, the revision
// shows which save is stored.
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

// DefaultField is the field that is used if Options.Field is empty: the one of
// python-o365.
const DefaultField = "token"

// Options configures a [Backend]. The zero value can be used as it is.
type Options struct {
	// Prefix begins the id of every document. It is used unchanged. Programs that share a
	// collection stay apart by their prefixes, if no prefix begins with another one. It
	// is UTF-8 of at most 1,000 bytes, without NUL and slashes, and must be a valid id:
	// not ".", "..", or "__x__".
	Prefix string

	// Field is the name of the field that holds the record, DefaultField if empty: at
	// most 100 letters, digits and underscores, not beginning with a digit. Firestore
	// reserves names that begin and end with two underscores, and names that end with
	// "_revision" belong to another field.
	Field string

	// NativeNames uses the key as the id of its document, with all its bytes. With it a
	// program can use records that another program has named, such as
	// "token_ana@contoso.com". Only a key that can't be an id gets another name: a key
	// with a slash, ".", ".." or "__x__". Without NativeNames, bytes outside of
	// [A-Za-z0-9._-] are escaped. All programs that share the records must use the same
	// setting.
	NativeNames bool

	// DeleteDocuments lets Delete remove the whole document, with all its other fields,
	// as python-o365 does. Use it for collections that hold only tokens. Without it,
	// Delete keeps the document and sets the field to null, since python-o365's
	// load_token fails if the field is missing.
	DeleteDocuments bool
}

// Backend is a [core.TokenBackend] over a collection of Firestore. Any number of
// Backends, in any number of processes, can share one collection.
type Backend struct {
	client          *firestore.Client
	collection      *firestore.CollectionRef
	naming          backend.Naming // includes the prefix
	field, revision string
	deleteDocuments bool
	wakes           backend.Wakes
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.SizeLimiter    = (*Backend)(nil)
)

const maxPrefix = 1000 // an id has at most 1,500 bytes, and an escaped key at most 450

const revisionSuffix = "_revision"

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// New returns the backend of a collection in the client's database, which may be the
// default one or a named one (firestore.NewClientWithDatabase). The collection is a name
// or a path, "tokens" or "apps/crm/tokens". The caller closes the client. The client must
// not be configured to read at a time in the past.
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
		return nil, fmt.Errorf("%q isn't the path of a collection", collection)
	}
	field := cmp.Or(o.Field, DefaultField)
	if !fieldName.MatchString(field) || isReserved(field) || strings.HasSuffix(field, revisionSuffix) {
		return nil, fmt.Errorf("%q can't be the name of the record's field: see Options.Field", field)
	}
	if !utf8.ValidString(o.Prefix) || strings.ContainsAny(o.Prefix, "/\x00") || len(o.Prefix) > maxPrefix || isReserved(o.Prefix) {
		return nil, fmt.Errorf("%w: %q can't be a prefix: see Options.Prefix", core.ErrInvalidKey, o.Prefix)
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

// Place implements [core.Locator]: Backends are the same place if they have the same
// client, collection, prefix and field.
func (b *Backend) Place() any {
	return [...]any{b.client, b.collection.Path, b.naming.Prefix, b.field, b.naming.Native != nil}
}

// origin names the backend in its errors.
const origin backend.Origin = "firestore"

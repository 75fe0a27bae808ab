// Package bitwarden keeps token records in Bitwarden Secrets Manager, each in
// the value of a secret.
//
//	secrets, err := bitwarden.Login(ctx, os.Getenv("BWS_ACCESS_TOKEN"), bitwarden.LoginOptions{StateFile: "bitwarden.state"})
//	if err != nil {
//		return err
//	}
//	backend, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: "e325ea69-a3ab-4dff-836f-b02e013fe530"})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//
// # Keys
//
// A key that is a UUID in lower case is the id of a secret, which must already
// exist: Bitwarden chooses the ids of new secrets. This is how python-o365 names
// its secret. Any other key is the name of a secret in a project: the prefix,
// and the key with bytes outside of [A-Za-z0-9._-] as %XX. The name is looked up
// once in the list of all secrets; then the secret is read and written by its id.
//
// # What it can't do
//
// Secrets Manager has no conditional writes and no leases. A Save with a version reads
// the revision date first, and returns core.ErrConflict if that has changed. If another
// process writes between that read and the write, its record is overwritten, and no
// error is returned. So let one process write, through one Backend, or coordinate
// several with [core.WithLeaser], which takes the leases from another backend.
package bitwarden

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
)

// Options configures a [Backend]. With the zero value, the backend reads and writes
// existing secrets, and creates none.
type Options struct {
	// OrganizationID is the organization in which names are looked up and secrets are
	// created. Empty means the machine account's own, which the client of [Login] knows
	// and the official SDK doesn't.
	OrganizationID string
	// ProjectID is the project in which names are looked up and secrets are created. If
	// it is empty, names are looked up in everything that the account may see, and
	// creating a secret is an error.
	ProjectID string
	// Prefix begins the name of every secret. It is used unchanged, and keeps programs
	// that share a project apart. It has at most 250 bytes and doesn't begin with white
	// space, which the official SDK would remove. Ids have no prefix.
	Prefix string
	// NativeNames uses a key that is no id as the name of its secret, with all its bytes.
	// With it a program can use records that another program has named, such as "token
	// ana@contoso.com". Only a key that begins or ends with white space, which clients
	// remove, gets another name. Without NativeNames, bytes outside of [A-Za-z0-9._-] are
	// escaped. All programs that share the records must use the same setting. With it,
	// every secret whose name begins with Prefix is a record.
	NativeNames bool
}

// Backend is a [core.TokenBackend] over Secrets Manager. Calls through one Backend don't
// overwrite each other: they change the record of a key one after the other.
type Backend struct {
	secrets Secrets
	options Options
	naming  backend.Naming // includes the prefix
	places  places
}

var (
	_ core.TokenBackend = (*Backend)(nil)
	_ core.Lister       = (*Backend)(nil)
	_ core.Locator      = (*Backend)(nil)
	_ core.Pinger       = (*Backend)(nil)
	_ core.SizeLimiter  = (*Backend)(nil)
)

// maxName is the number of characters that Bitwarden's clients accept for a name.
const (
	maxName   = 500
	maxPrefix = maxName / 2
)

// New returns a backend over secrets. It does no I/O: its errors are about secrets (nil)
// and the Options.
func New(secrets Secrets, o Options) (*Backend, error) {
	b, err := newBackend(secrets, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(secrets Secrets, o Options) (*Backend, error) {
	if err := origin.Require(secrets); err != nil {
		return nil, err
	}
	for name, id := range map[string]*string{"OrganizationID": &o.OrganizationID, "ProjectID": &o.ProjectID} {
		if *id != "" && !bitwardenclient.IsUUID(*id) {
			return nil, fmt.Errorf("%s %q isn't a UUID", name, *id)
		}
		*id = strings.ToLower(*id)
	}
	switch {
	case len(o.Prefix) > maxPrefix:
		return nil, fmt.Errorf("%w: the prefix has %d bytes, the limit is %d", core.ErrInvalidKey, len(o.Prefix), maxPrefix)
	case !utf8.ValidString(o.Prefix), strings.TrimLeftFunc(o.Prefix, unicode.IsSpace) != o.Prefix:
		return nil, fmt.Errorf("%w: the prefix %q must be UTF-8 and not begin with white space", core.ErrInvalidKey, o.Prefix)
	}
	b := &Backend{
		secrets: secrets,
		options: o,
		naming:  backend.Naming{Prefix: o.Prefix, Escape: '%', Limit: maxName},
		places:  places{of: make(map[string]Secret)},
	}
	if o.NativeNames {
		b.naming.Native = func(name string) bool { return strings.TrimSpace(name) == name }
	}
	return b, nil
}

// Place implements [core.Locator]: Backends are the same place if they have the same
// Secrets and options.
func (b *Backend) Place() any { return [...]any{b.secrets, b.options} }

// Format prints the backend without the secrets that it knows.
func (b *Backend) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[bitwarden backend]") }

// origin names the backend in its errors.
const origin backend.Origin = "bitwarden"

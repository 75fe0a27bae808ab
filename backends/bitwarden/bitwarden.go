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
// A key that is a UUID in lower case is the id of a secret, which must be there
// already: Bitwarden chooses the ids of new ones. That is how python-o365 names
// its secret. Any other key is the name of a secret in a project: the prefix,
// and the key with the bytes outside of [A-Za-z0-9._-] as %XX. It is looked up
// in the list of all secrets once, and then read and written by its id.
//
// # What it can't do
//
// Secrets Manager compares nothing, and has nothing to lease. A conditional
// Save looks at the revision date first, and so refuses what it sees to be
// stale; another process that writes between that look and the write is not seen.
// Let one process write, through one Backend, or coordinate them elsewhere with
// [core.WithLeaser].
package bitwarden

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Options configures a [Backend]. With the zero value, records are read and
// written in secrets that are there, and none is created.
type Options struct {
	// OrganizationID is where names are looked up and secrets are created. Empty
	// means the machine account's own, which the client of [Login] knows, and
	// the official SDK doesn't.
	OrganizationID string
	// ProjectID is the project that names are looked up in, and secrets are
	// created in. When it is empty, names are looked up in all that the account
	// may see, and creating one is an error.
	ProjectID string
	// Prefix begins the name of every secret, as it is, and keeps apart those
	// who share a project. It has 250 bytes at most, and doesn't begin with
	// white space, which the official SDK would cut off. Ids have no prefix.
	Prefix string
	// NativeNames makes a key that is no id the name of its secret, whatever bytes it has,
	// so that records can be used that another program has named, such as "token
	// ana@contoso.com". Only a key that begins or ends with white space, which clients cut
	// off, gets another name. Without NativeNames, bytes outside of [A-Za-z0-9._-] are
	// escaped. All programs that share the records must agree on it. Every secret that
	// Prefix begins is a record then.
	NativeNames bool
}

// Backend is a [core.TokenBackend] over Secrets Manager. Those who write through
// one Backend don't overwrite each other: a key's record is changed by one at a time.
type Backend struct {
	secrets Secrets
	options Options
	naming  backend.Naming // has the prefix
	places  places
}

var (
	_ core.TokenBackend = (*Backend)(nil)
	_ core.Lister       = (*Backend)(nil)
	_ core.Locator      = (*Backend)(nil)
	_ core.Pinger       = (*Backend)(nil)
	_ core.SizeLimiter  = (*Backend)(nil)
)

// maxName is how many characters Bitwarden's clients take for a name.
const (
	maxName   = 500
	maxPrefix = maxName / 2
)

// New returns a backend over secrets.
func New(secrets Secrets, o Options) (*Backend, error) {
	b, err := newBackend(secrets, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(secrets Secrets, o Options) (*Backend, error) {
	if err := origin.Require(secrets); err != nil {
		return nil, err
	}
	for name, id := range map[string]*string{"OrganizationID": &o.OrganizationID, "ProjectID": &o.ProjectID} {
		if *id != "" && !isUUID(*id) {
			return nil, fmt.Errorf("%s %q is no UUID", name, *id)
		}
		*id = strings.ToLower(*id)
	}
	switch {
	case len(o.Prefix) > maxPrefix:
		return nil, fmt.Errorf("%w: the prefix has %d bytes, the limit is %d", core.ErrInvalidKey, len(o.Prefix), maxPrefix)
	case !utf8.ValidString(o.Prefix), strings.TrimLeftFunc(o.Prefix, unicode.IsSpace) != o.Prefix:
		return nil, fmt.Errorf("%w: the prefix %q can't begin a name", core.ErrInvalidKey, o.Prefix)
	}
	return &Backend{
		secrets: secrets,
		options: o,
		naming:  newNaming(o),
		places:  places{of: make(map[string]place)},
	}, nil
}

// Place implements [core.Locator]: Backends are one place where they have the same
// Secrets and options.
func (b *Backend) Place() any { return [...]any{b.secrets, b.options} }

// Format prints the backend without what it knows of secrets.
func (b *Backend) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[bitwarden backend]") }

// origin names the backend in its errors.
const origin backend.Origin = "bitwarden"

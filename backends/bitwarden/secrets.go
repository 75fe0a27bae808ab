package bitwarden

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
)

// Secrets is what a [Backend] needs of Secrets Manager, as one machine account sees it.
// [Login] returns an implementation in pure Go; [FromSDK] makes one from the official
// SDK's client.
//
// Implementations are safe for concurrent use and return when ctx is done. They take and
// return plain text, and encrypt it themselves. If a secret doesn't exist, or the account
// may not see it, Get, Update and Delete return core.ErrNotFound, and they return it for
// no other reason; Bitwarden also answers this to an Update by an account that may only
// read. A value that can't be decrypted is core.ErrDecrypt. Any other error wraps the
// client's or the server's. No error shows a value.
type Secrets interface {
	// Get returns the secret with this id.
	Get(ctx context.Context, id string) (Secret, error)
	// List returns the secrets of an organization that the account may see, including all
	// that were created before the call. An empty organizationID means the account's own,
	// if the client knows it.
	List(ctx context.Context, organizationID string) ([]Identifier, error)
	// Create stores a new secret and returns it with its ID and RevisionDate, which are
	// ignored in s. Its texts are UTF-8. Several secrets may have the same Key. An empty
	// OrganizationID means the account's own, as with List.
	Create(ctx context.Context, s Secret) (Secret, error)
	// Update replaces everything in the secret s.ID, and returns it with its new
	// RevisionDate, which is ignored in s. A Backend ignores the other fields of the
	// result: Bitwarden's answer has no project.
	Update(ctx context.Context, s Secret) (Secret, error)
	// Delete removes the secret with this id.
	Delete(ctx context.Context, id string) error
}

// Secret is a secret in Secrets Manager.
type Secret struct {
	ID             string // a UUID
	Key            string // its name, 1 to 500 characters
	Value          tokencache.Secret
	Note           tokencache.Secret
	OrganizationID string
	ProjectID      string    // empty: in no project. A secret can be in one project at most
	RevisionDate   time.Time // of the last change, by the server's clock
}

// Identifier is a secret's id and name, without its value.
type Identifier struct {
	ID        string
	Key       string
	ProjectID string // empty if it is in none, or if the client doesn't say
}

// client is Secrets over a client of package bitwardenclient, whose types have the fields
// of this package's. It checks what the client sends and what the server answers.
type client struct{ bitwardenclient.Secrets }

func (c client) Get(ctx context.Context, id string) (Secret, error) {
	s, err := c.Secrets.Get(ctx, id)
	return about(id, s, err)
}

func (c client) List(ctx context.Context, organizationID string) ([]Identifier, error) {
	listed, err := c.Secrets.List(ctx, organizationID)
	ids := make([]Identifier, len(listed))
	for i, id := range listed {
		ids[i] = Identifier(id)
	}
	return ids, err
}

func (c client) Create(ctx context.Context, s Secret) (Secret, error) {
	if err := checkText(s); err != nil {
		return Secret{}, err
	}
	created, err := c.Secrets.Create(ctx, bitwardenclient.Secret(s))
	return Secret(created), err
}

func (c client) Update(ctx context.Context, s Secret) (Secret, error) {
	if err := checkText(s); err != nil {
		return Secret{}, err
	}
	updated, err := c.Secrets.Update(ctx, bitwardenclient.Secret(s))
	return about(s.ID, updated, err)
}

// checkText refuses text that isn't UTF-8: the official SDK would change it when it
// writes it, and couldn't read it.
func checkText(s Secret) error {
	for _, field := range []struct{ name, text string }{
		{"name", s.Key}, {"value", s.Value.Reveal()}, {"note", s.Note.Reveal()},
	} {
		if !utf8.ValidString(field.text) {
			return errors.New("the secret's " + field.name + " is not UTF-8")
		}
	}
	return nil
}

// about refuses an answer about another secret than the one with this id.
func about(id string, s bitwardenclient.Secret, err error) (Secret, error) {
	switch {
	case err != nil:
		return Secret{}, err
	case !strings.EqualFold(s.ID, id):
		return Secret{}, errors.New("the server's answer is about another secret than the request")
	}
	return Secret(s), nil
}

// DuplicateError means that several secrets have the record's name, so that the backend
// can't tell which one is the record. Delete all but one of them, or use an id as the
// key.
type DuplicateError struct {
	Name string   // of the secrets: Options.Prefix and the key
	IDs  []string // all of them
}

func (e *DuplicateError) Error() string {
	return strconv.Itoa(len(e.IDs)) + " secrets are named " + strconv.Quote(e.Name) + ": " + core.Printable(strings.Join(e.IDs, ", "))
}

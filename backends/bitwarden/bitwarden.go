// Package bitwarden keeps token records in Bitwarden Secrets Manager.
package bitwarden

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Secrets is what a [Backend] asks of Secrets Manager, as one machine account
// sees it. [Login] returns one in pure Go, [FromSDK] makes one of the official
// SDK's client.
//
// Implementations are safe for concurrent use and return when ctx is done. They
// hold plain text: encrypting is theirs. A secret that isn't there, or that the
// account may not see, is core.ErrNotFound from Get, Update and Delete, and
// nothing else is; what can't be decrypted is core.ErrDecrypt; any other error
// keeps what the server said reachable by errors.As. No error shows a value.
type Secrets interface {
	// Get returns the secret with this id.
	Get(ctx context.Context, id string) (Secret, error)
	// List returns the secrets of an organization that the account may see.
	List(ctx context.Context, organizationID string) ([]Identifier, error)
	// Create stores a new secret and returns it with its ID and RevisionDate,
	// which are ignored in s. Bitwarden takes several secrets of one key.
	Create(ctx context.Context, s Secret) (Secret, error)
	// Update replaces everything of the secret s.ID, and returns it with its new
	// RevisionDate, which is ignored in s.
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
	ProjectID      string    // empty: in no project. Bitwarden takes one at most
	RevisionDate   time.Time // of the last change, by the server's clock
}

// Identifier names a secret without what it holds.
type Identifier struct {
	ID        string
	Key       string
	ProjectID string // empty where it is in none, or the client doesn't say
}

// Package bitwardenclient has the clients of Bitwarden Secrets Manager that package
// backends/bitwarden works with. [Login] returns one in pure Go, and [FromSDK] makes one
// of the official SDK's:
//
//	secrets, err := bitwardenclient.Login(ctx, os.Getenv("BWS_ACCESS_TOKEN"), bitwardenclient.Options{})
//	if err != nil {
//		return err
//	}
//	secret, err := secrets.Get(ctx, "be8e0ad8-d545-4017-a55a-b02f014d4158")
//
// The client in pure Go has what that package needs, and no more: five calls about
// secrets, and none about projects. Bitwarden's own SDK needs cgo.
//
// Errors are those of package core. A secret that doesn't exist, or that the account may
// not see, is core.ErrNotFound. Text that can't be decrypted is core.ErrDecrypt, and a
// deletion that Bitwarden refuses is core.ErrReadOnly. Any other refusal of the server is a
// [*StatusError], and a server that can't be reached is an error of net/http. No error
// shows a value or a credential.
package bitwardenclient

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Secrets is a client, logged in as a machine account. It has the methods of
// bitwarden.Secrets, which says what each does. It doesn't check that texts are UTF-8, nor
// that an answer is about the secret that was asked for: the ID in the answer tells.
type Secrets interface {
	Get(ctx context.Context, id string) (Secret, error)
	List(ctx context.Context, organizationID string) ([]Identifier, error)
	Create(ctx context.Context, s Secret) (Secret, error)
	Update(ctx context.Context, s Secret) (Secret, error)
	Delete(ctx context.Context, id string) error
	fmt.Formatter // prints no secret
}

// Secret has the fields of bitwarden.Secret.
type Secret struct {
	ID             string
	Key            string
	Value          tokencache.Secret
	Note           tokencache.Secret
	OrganizationID string
	ProjectID      string
	RevisionDate   time.Time
}

// Identifier has the fields of bitwarden.Identifier.
type Identifier struct {
	ID        string
	Key       string
	ProjectID string
}

// projects is the project of s in the form of the service, which has a list.
func projects(s Secret) []string {
	if s.ProjectID == "" {
		return nil
	}
	return []string{s.ProjectID}
}

// deletion is the answer of Bitwarden and its SDK to a Delete.
type deletion struct {
	Data []struct {
		Error string `json:"error"`
	} `json:"data"`
}

// refusal is the reason why an existing secret was not deleted.
func (d deletion) refusal() error {
	for _, secret := range d.Data {
		if secret.Error != "" {
			return fmt.Errorf("%w: %s", core.ErrReadOnly, shown(secret.Error))
		}
	}
	return nil
}

var uuid = regexp.MustCompile(`^[\dA-Fa-f]{8}(-[\dA-Fa-f]{4}){3}-[\dA-Fa-f]{12}$`)

// IsUUID reports whether s has the form of a UUID (RFC 9562, section 4), as all of
// Bitwarden's ids have.
func IsUUID(s string) bool { return uuid.MatchString(s) }

// Package awssecrets keeps token records in AWS Secrets Manager, each as one
// secret, through the client of the AWS SDK for Go that the caller brings.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	if err != nil {
//		return err
//	}
//	backend, err := awssecrets.New(secretsmanager.NewFromConfig(cfg), awssecrets.Options{Prefix: "tokens/"})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//
// # What is stored
//
//	tokens/ana=40contoso.com         the record: SecretString, its version id is the record's version
//	tokens/ana=40contoso.com=leased  there while somebody refreshes the record
//
// Data that isn't UTF-8 goes to SecretBinary. A secret that python-o365's
// AWSSecretsBackend wrote is read and replaced in place, and the other way
// round.
//
// Saving over a known version puts the new one under the staging label
// graphtoken-pending, and then moves AWSCURRENT from the version that was seen,
// which the service refuses once AWSCURRENT is elsewhere:
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
package awssecrets

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins every secret's name, as it is: letters, digits and
	// /_+=.@-, at most 263 bytes. End it with a slash: secrets are told apart
	// by their whole names alone, so that the prefix "a" and the key "b/c"
	// can't be.
	Prefix string

	// NativeNames makes a key the name of its secret, so that records can be used that
	// another program has named, such as "contoso/ana+test@contoso.com". Only a key that
	// can't be a secret's name gets another one: with anything but letters, digits and
	// /_+=.@-, or with "=leased" at its end. Without NativeNames, bytes outside of
	// [A-Za-z0-9._-] are escaped. All programs that share the records must agree on it.
	// Every secret that Prefix begins is a record then, but for leases.
	NativeNames bool

	// RecoveryDays is the number of days, 7 to 30, in which a deleted secret can be
	// restored; the next Save of its key restores it. Zero deletes for good,
	// as python-o365 does: nobody can use the refresh token of a user who
	// signed out.
	RecoveryDays int

	// KMSKeyID is the ARN, id or alias of the key that encrypts the secrets this
	// backend creates; the account's aws/secretsmanager where it is empty.
	KMSKeyID string

	// Description of the secrets this backend creates, at most 2048 bytes; a
	// default where it is empty.
	Description string

	// Tags of the secrets this backend creates.
	Tags map[string]string
}

// Backend is a [core.TokenBackend] over AWS Secrets Manager. Any number of
// Backends, in any number of processes, can share one account's secrets.
type Backend struct {
	client      *secretsmanager.Client
	naming      backend.Naming // has the prefix
	window      int
	kmsKeyID    *string
	description string
	tags        []types.Tag
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.SizeLimiter    = (*Backend)(nil)
)

// ErrScheduledForDeletion: somebody scheduled the secret for deletion, and until
// then its value can be neither read nor replaced. RestoreSecret brings it back
// as it was; DeleteSecret with ForceDeleteWithoutRecovery, which is what Delete
// does, makes room for a new one. A Backend with RecoveryDays takes such a
// secret for one that it deleted itself.
var ErrScheduledForDeletion = errors.New("the secret is scheduled for deletion: restore it (aws secretsmanager restore-secret), or delete it for good")

const defaultDescription = "A token cache for Microsoft Graph, kept by graphtoken."

// Limits of the service, see
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
// and the API reference of CreateSecret and DeleteSecret.
const (
	maxSize                      = 65_536
	maxName                      = 512
	minimumWindow, maximumWindow = 7, 30
)

// New returns a backend that uses client. How calls are retried, how long they
// may take and for which region they are is the client's configuration.
func New(client *secretsmanager.Client, o Options) (*Backend, error) {
	b, err := newBackend(client, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(client *secretsmanager.Client, o Options) (*Backend, error) {
	if err := origin.Require(client); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.Prefix, unnameable) {
		return nil, fmt.Errorf("%w: the prefix %q is not of letters, digits and /_+=.@-", core.ErrInvalidKey, o.Prefix)
	}
	if n := len(o.Prefix) + backend.LongestName - limit; n > 0 {
		return nil, fmt.Errorf("%w: the prefix is %d bytes long, %d too many", core.ErrInvalidKey, len(o.Prefix), n)
	}
	if o.RecoveryDays != 0 && (o.RecoveryDays < minimumWindow || o.RecoveryDays > maximumWindow) {
		return nil, fmt.Errorf("RecoveryDays is %d to %d days, or zero, not %d", minimumWindow, maximumWindow, o.RecoveryDays)
	}
	b := &Backend{
		client:      client,
		naming:      newNaming(o),
		window:      o.RecoveryDays,
		description: cmp.Or(o.Description, defaultDescription),
	}
	if o.KMSKeyID != "" {
		b.kmsKeyID = &o.KMSKeyID
	}
	for key, value := range o.Tags {
		b.tags = append(b.tags, types.Tag{Key: &key, Value: &value})
	}
	return b, nil
}

// Place implements [core.Locator]: Backends are one place where they have the same
// client and prefix, and delete alike: without a window, a secret
// that is scheduled for deletion is an error.
func (b *Backend) Place() any {
	return [...]any{b.client, b.naming.Prefix, b.naming.Native != nil, b.window > 0}
}

// origin names the backend in its errors.
const origin backend.Origin = "awssecrets"

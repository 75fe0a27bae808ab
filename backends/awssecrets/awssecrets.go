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
//	tokens/ana=40contoso.com         the record, in SecretString; the secret's version id is the record's version
//	tokens/ana=40contoso.com=leased  the lease, while a process refreshes the record
//
// Data that isn't UTF-8 is stored in SecretBinary. The backend reads and replaces
// secrets that python-o365's AWSSecretsBackend wrote, and python-o365 reads and
// replaces those of the backend.
//
// A save over a known version adds the new version with the staging label
// graphtoken-pending, and then moves AWSCURRENT from the version that was seen to the
// new one. The service refuses that if AWSCURRENT has moved:
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

// Options configures a [Backend]. The zero value can be used as it is.
type Options struct {
	// Prefix begins every secret's name. It is used unchanged: letters, digits and
	// /_+=.@-, at most 263 bytes. End it with a slash: otherwise the prefix "a" with the
	// key "bc" and the prefix "ab" with the key "c" are the same secret.
	Prefix string

	// NativeNames uses the key as the name of its secret. With it a program can use
	// records that another program has named, such as "contoso/ana+test@contoso.com".
	// Only a key that can't be a secret's name gets another one: a key with other
	// characters than letters, digits and /_+=.@-, or with "=leased" at its end. Without
	// NativeNames, bytes outside of [A-Za-z0-9._-] are escaped. All programs that share
	// the records must use the same setting. With it, every secret whose name begins with
	// Prefix is a record, except leases.
	NativeNames bool

	// RecoveryDays is the number of days, 7 to 30, in which a deleted secret can be
	// restored; the next Save of its key restores it. Zero deletes permanently, as
	// python-o365 does: after a user has signed out, nobody can use the refresh token.
	RecoveryDays int

	// KMSKeyID is the ARN, id or alias of the key that encrypts the secrets that this
	// backend creates. Empty means the account's aws/secretsmanager key.
	KMSKeyID string

	// Description is the description of the secrets that this backend creates, at most
	// 2048 bytes. Empty means a default.
	Description string

	// Tags are the tags of the secrets that this backend creates.
	Tags map[string]string
}

// Backend is a [core.TokenBackend] over AWS Secrets Manager. Any number of Backends, in
// any number of processes, can share one account's secrets.
type Backend struct {
	client      *secretsmanager.Client
	naming      backend.Naming // includes the prefix
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

// ErrScheduledForDeletion is the error if somebody scheduled the secret for deletion.
// Until it is deleted, its value can be neither read nor replaced. RestoreSecret restores
// it unchanged; DeleteSecret with ForceDeleteWithoutRecovery, which Delete sends, makes
// its name free for a new one. A Backend with RecoveryDays treats such a secret as one
// that it deleted itself.
var ErrScheduledForDeletion = errors.New("the secret is scheduled for deletion: restore it (aws secretsmanager restore-secret), or delete it for good")

const defaultDescription = "A token cache for Microsoft Graph, kept by graphtoken."

// Limits of the service, see
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html and
// the API reference of CreateSecret and DeleteSecret.
const (
	maxSize                      = 65_536
	maxName                      = 512
	minimumWindow, maximumWindow = 7, 30
)

// New returns a backend that uses client. The client's configuration decides how calls
// are retried, how long they may take and to which region they go. New does no I/O: its
// errors are about the client (nil) and the Options.
func New(client *secretsmanager.Client, o Options) (*Backend, error) {
	b, err := newBackend(client, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(client *secretsmanager.Client, o Options) (*Backend, error) {
	if err := origin.Require(client); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(o.Prefix, unnameable) {
		return nil, fmt.Errorf("%w: the prefix %q may have only letters, digits and /_+=.@-", core.ErrInvalidKey, o.Prefix)
	}
	if n := len(o.Prefix) + backend.LongestName - limit; n > 0 {
		return nil, fmt.Errorf("%w: the prefix has %d bytes, %d too many", core.ErrInvalidKey, len(o.Prefix), n)
	}
	if o.RecoveryDays != 0 && (o.RecoveryDays < minimumWindow || o.RecoveryDays > maximumWindow) {
		return nil, fmt.Errorf("RecoveryDays must be %d to %d, or zero; it is %d", minimumWindow, maximumWindow, o.RecoveryDays)
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

// Place implements [core.Locator]: Backends are the same place if they have the same
// client, Prefix and NativeNames, and if both or neither have RecoveryDays: without it, a
// secret that is scheduled for deletion is an error.
func (b *Backend) Place() any {
	return [...]any{b.client, b.naming.Prefix, b.naming.Native != nil, b.window > 0}
}

// origin names the backend in its errors.
const origin backend.Origin = "awssecrets"

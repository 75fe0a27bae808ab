// Package awskms wraps the data keys of records with a symmetric key of AWS Key
// Management Service, through the client of the AWS SDK for Go that the caller brings.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	if err != nil {
//		return err
//	}
//	key, err := awskms.New(kms.NewFromConfig(cfg), "alias/tokens", awskms.Options{})
//	if err != nil {
//		return err
//	}
//	dataKeys, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(dataKeys))
//
// Wrap is the operation Encrypt, and Unwrap the operation Decrypt, which is told the key:
// https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
package awskms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// Client is what this package needs of a *kms.Client.
type Client interface {
	Encrypt(ctx context.Context, in *kms.EncryptInput, options ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(ctx context.Context, in *kms.DecryptInput, options ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// Options configures a [Key]. The zero value is ready for use.
type Options struct {
	// Context is KMS's encryption context. It is bound to each data key, so Unwrap needs the same
	// context. CloudTrail shows it, so it must hold no secret.
	Context map[string]string
}

// Key is a symmetric KMS key that wraps data keys.
type Key struct {
	client  Client
	id      string
	context map[string]string
}

var _ crypto.KeyService = (*Key)(nil)

// New returns the key of this id, ARN or alias. It calls nothing.
//
// KMS refuses to unwrap a data key that another key wrapped, for example the key that the
// alias named earlier. So a stranger who can write records can't make KMS use a key of
// their own.
func New(client Client, id string, o Options) (*Key, error) {
	if client == nil {
		return nil, errors.New("awskms: the client is nil")
	}
	if id == "" {
		return nil, errors.New("awskms: the name of the key is empty: give its id, its ARN or its alias")
	}
	return &Key{client: client, id: id, context: maps.Clone(o.Context)}, nil
}

// Wrap implements [crypto.KeyService].
func (k *Key) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	out, err := k.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.id, Plaintext: dataKey, EncryptionContext: k.context})
	if err != nil {
		return crypto.WrappedKey{}, fmt.Errorf("awskms: encrypt with %s: %w", core.Printable(k.id), classify(err))
	}
	return crypto.WrappedKey{KeyID: aws.ToString(out.KeyId), Data: out.CiphertextBlob}, nil
}

// maxBlob is the longest CiphertextBlob that Decrypt takes; it calls a longer one
// invalid input, which a damaged record is not.
const maxBlob = 6144

// Unwrap implements [crypto.KeyService].
func (k *Key) Unwrap(ctx context.Context, wrapped crypto.WrappedKey) ([]byte, error) {
	if len(wrapped.Data) > maxBlob {
		return nil, fmt.Errorf("%w: awskms: the wrapped data key has %d bytes, and KMS makes none of more than %d", core.ErrDecrypt, len(wrapped.Data), maxBlob)
	}
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.id, CiphertextBlob: wrapped.Data, EncryptionContext: k.context})
	if err != nil {
		return nil, fmt.Errorf("awskms: decrypt with %s: %w", core.Printable(k.id), classify(err))
	}
	return out.Plaintext, nil
}

// The codes of errors, each as the operation's page or
// https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html has it.
var denials = []string{
	"AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired",
	"DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException", "UnsupportedOperationException",
	"NotFoundException", "InvalidArnException", "InvalidGrantTokenException",
	"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken",
	"ExpiredTokenException", "ExpiredToken",
}

var errUnread = errors.New("the answer can't be read as one of KMS: a proxy may have sent it")

// classify says which of the three kinds of failure that crypto tells apart an error is.
func classify(err error) error {
	var unread *smithy.DeserializationError
	if errors.As(err, &unread) {
		// The SDK's error quotes an answer that it can't read, and keeps a part of it: that
		// may be the data key.
		unread.Err, unread.Snapshot = errUnread, nil
	}
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return err
	}
	switch code := answer.ErrorCode(); {
	case code == "IncorrectKeyException":
		return fmt.Errorf("%w: %w: %w", core.ErrDecrypt, crypto.ErrUnknownKey, err)
	case code == "InvalidCiphertextException":
		return fmt.Errorf("%w: %w", core.ErrDecrypt, err)
	case slices.Contains(denials, code):
		return fmt.Errorf("%w: %w", crypto.ErrKeyDenied, err)
	}
	return err
}

// String names the key.
func (k *Key) String() string { return "[KMS key " + core.Printable(k.id) + "]" }

// Format prints String, whatever the verb: fmt would show what the client holds.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

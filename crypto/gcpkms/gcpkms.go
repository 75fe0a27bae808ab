// Package gcpkms wraps the data keys of records with a symmetric key of Google Cloud Key
// Management Service, through the client of Google's SDK that the caller brings.
//
//	client, err := kms.NewKeyManagementClient(ctx)
//	if err != nil {
//		return err
//	}
//	key, err := gcpkms.New(client, "projects/p/locations/l/keyRings/r/cryptoKeys/tokens", gcpkms.Options{})
//	if err != nil {
//		return err
//	}
//	dataKeys, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(dataKeys))
//
// Wrap is the method Encrypt, with the key's primary version, and Unwrap the method Decrypt:
// https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1
package gcpkms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"strings"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// Options configures a [Key]. The zero value is ready for use.
type Options struct {
	// AssociatedData is bound to each data key: Unwrap needs the same bytes.
	AssociatedData []byte
}

// Key is a symmetric key of Cloud KMS that wraps data keys.
type Key struct {
	client *kms.KeyManagementClient
	name   string
	data   []byte
}

var _ crypto.KeyService = (*Key)(nil)

var names = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)

// New returns the key of this resource name, projects/*/locations/*/keyRings/*/cryptoKeys/*,
// whose purpose is ENCRYPT_DECRYPT. It calls nothing.
func New(client *kms.KeyManagementClient, name string, o Options) (*Key, error) {
	if client == nil {
		return nil, errors.New("gcpkms: the client is nil")
	}
	if !names.MatchString(name) {
		return nil, fmt.Errorf("gcpkms: %q is not of the form projects/*/locations/*/keyRings/*/cryptoKeys/*", core.Printable(name))
	}
	return &Key{client: client, name: name, data: bytes.Clone(o.AssociatedData)}, nil
}

// Wrap implements [crypto.KeyService].
func (k *Key) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	out, err := k.client.Encrypt(ctx, &kmspb.EncryptRequest{
		Name: k.name, Plaintext: dataKey, PlaintextCrc32C: checksum(dataKey),
		AdditionalAuthenticatedData: k.data, AdditionalAuthenticatedDataCrc32C: checksum(k.data),
	})
	switch {
	case err != nil:
		return crypto.WrappedKey{}, k.fail("encrypt", classify(err, crypto.ErrKeyDenied))
	case !out.VerifiedPlaintextCrc32C || !out.VerifiedAdditionalAuthenticatedDataCrc32C || !intact(out.Ciphertext, out.CiphertextCrc32C):
		return crypto.WrappedKey{}, k.fail("encrypt", errDamagedOnTheWay)
	}
	return crypto.WrappedKey{KeyID: out.Name, Data: out.Ciphertext}, nil
}

// Unwrap implements [crypto.KeyService].
func (k *Key) Unwrap(ctx context.Context, wrapped crypto.WrappedKey) ([]byte, error) {
	out, err := k.client.Decrypt(ctx, &kmspb.DecryptRequest{
		Name: k.name, Ciphertext: wrapped.Data, CiphertextCrc32C: checksum(wrapped.Data),
		AdditionalAuthenticatedData: k.data, AdditionalAuthenticatedDataCrc32C: checksum(k.data),
	})
	if err != nil {
		err = classify(err, core.ErrDecrypt)
		// The service doesn't tell another key from damage. The record's word for the key is only
		// believed to say which of the two it is.
		if errors.Is(err, core.ErrDecrypt) && !strings.HasPrefix(wrapped.KeyID, k.name+"/cryptoKeyVersions/") {
			err = fmt.Errorf("%w: %w", crypto.ErrUnknownKey, err)
		}
		return nil, k.fail("decrypt", err)
	}
	if !intact(out.Plaintext, out.PlaintextCrc32C) {
		return nil, k.fail("decrypt", errDamagedOnTheWay)
	}
	return out.Plaintext, nil
}

// The checksums that Google asks clients for:
// https://cloud.google.com/kms/docs/data-integrity-guidelines
var (
	castagnoli         = crc32.MakeTable(crc32.Castagnoli)
	errDamagedOnTheWay = errors.New("the checksums don't match: the request or the answer was damaged on its way")
)

func checksum(data []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(data, castagnoli)))
}

func intact(data []byte, sum *wrapperspb.Int64Value) bool {
	return sum != nil && sum.Value == int64(crc32.Checksum(data, castagnoli))
}

// classify says which of the three kinds of failure that crypto tells apart an error is.
// An invalid argument is of the kind that is given.
func classify(err, invalid error) error {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return fmt.Errorf("%w: %w", invalid, err)
	case codes.PermissionDenied, codes.Unauthenticated, codes.NotFound, codes.FailedPrecondition:
		return fmt.Errorf("%w: %w", crypto.ErrKeyDenied, err)
	}
	return err
}

func (k *Key) fail(op string, err error) error {
	return fmt.Errorf("gcpkms: %s with %s: %w", op, core.Printable(k.name), err)
}

// String names the key.
func (k *Key) String() string { return "[Cloud KMS key " + core.Printable(k.name) + "]" }

// Format prints String, whatever the verb: fmt would show what the client holds.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

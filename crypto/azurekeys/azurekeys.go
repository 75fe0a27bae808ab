// Package azurekeys wraps the data keys of records with a key of Azure Key Vault or Managed
// HSM, through the client of the Azure SDK for Go that the caller brings.
//
//	client, err := azkeys.NewClient("https://contoso.vault.azure.net", credential, nil)
//	if err != nil {
//		return err
//	}
//	key, err := azurekeys.New(client, "tokens", azurekeys.Options{})
//	if err != nil {
//		return err
//	}
//	dataKeys, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(dataKeys))
//
// A person who knows the public part of an RSA key, and can write to the store, can make a
// record that decrypts. A Managed HSM's symmetric key, and the keyring of package crypto,
// don't allow that.
//
// Wrap is the operation wrapKey with the key's latest version, and Unwrap the operation
// unwrapKey with the version that the record names:
// https://learn.microsoft.com/rest/api/keyvault/keys/wrap-key
package azurekeys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// Options configures a [Key]. The zero value is right for an RSA key.
type Options struct {
	// Algorithm wraps data keys. Empty is RSA-OAEP-256; a Managed HSM's symmetric key
	// takes azkeys.EncryptionAlgorithmA256KW.
	Algorithm azkeys.EncryptionAlgorithm
}

// Key is a key of a vault that wraps data keys.
type Key struct {
	client    *azkeys.Client
	name      string
	algorithm azkeys.EncryptionAlgorithm
}

var _ crypto.KeyService = (*Key)(nil)

// New returns the key of this name in the client's vault. It calls nothing.
func New(client *azkeys.Client, name string, o Options) (*Key, error) {
	if client == nil {
		return nil, errors.New("azurekeys: the client is nil")
	}
	if name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("azurekeys: the key's name %q may have letters, digits and dashes only; leave the vault's address out", core.Printable(name))
	}
	if o.Algorithm == "" {
		o.Algorithm = azkeys.EncryptionAlgorithmRSAOAEP256
	}
	return &Key{client: client, name: name, algorithm: o.Algorithm}, nil
}

// Wrap implements [crypto.KeyService].
func (k *Key) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	out, err := k.client.WrapKey(ctx, k.name, "", azkeys.KeyOperationParameters{Algorithm: &k.algorithm, Value: dataKey}, nil)
	if err != nil {
		status, err := answered(err)
		switch status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
			err = fmt.Errorf("%w: %w", crypto.ErrKeyDenied, err)
		}
		return crypto.WrappedKey{}, k.fail("wrap", err)
	}
	if out.KID == nil {
		return crypto.WrappedKey{}, k.fail("wrap", errors.New("the answer names no key"))
	}
	return crypto.WrappedKey{KeyID: string(*out.KID), Data: out.Result}, nil
}

// Unwrap implements [crypto.KeyService].
func (k *Key) Unwrap(ctx context.Context, wrapped crypto.WrappedKey) ([]byte, error) {
	version, ok := k.version(wrapped.KeyID)
	if !ok {
		return nil, k.fail("unwrap", fmt.Errorf("%w: %w: under %s", core.ErrDecrypt, crypto.ErrUnknownKey, core.Printable(wrapped.KeyID)))
	}
	out, err := k.client.UnwrapKey(ctx, k.name, version, azkeys.KeyOperationParameters{Algorithm: &k.algorithm, Value: wrapped.Data}, nil)
	if err != nil {
		status, err := answered(err)
		switch status {
		case http.StatusBadRequest:
			err = fmt.Errorf("%w: %w", core.ErrDecrypt, err)
		case http.StatusUnauthorized, http.StatusForbidden:
			err = fmt.Errorf("%w: %w", crypto.ErrKeyDenied, err)
		case http.StatusNotFound:
			err = k.notFound(ctx, err)
		}
		return nil, k.fail("unwrap", err)
	}
	return out.Result, nil
}

// version returns the version of this key that wrapped a data key. The key's id is that of the
// service, https://contoso.vault.azure.net/keys/tokens/78deebed173b48e48f55abf87ed4cf71, or what
// a stranger wrote into a record: requests go to the client's vault in any case.
func (k *Key) version(id string) (string, bool) {
	_, path, ok := strings.Cut(id, "/keys/")
	name, version, versioned := strings.Cut(path, "/")
	if !ok || !versioned || !strings.EqualFold(name, k.name) || version == "" || strings.Trim(version, "0123456789abcdefABCDEF") != "" {
		return "", false
	}
	return version, true
}

// notFound tells a version that isn't there from a key that isn't: the first is a record's
// fault, and the second is over once the key is restored.
func (k *Key) notFound(ctx context.Context, err error) error {
	if _, wrapping := k.Wrap(ctx, make([]byte, 32)); wrapping != nil {
		return wrapping
	}
	return fmt.Errorf("%w: %w: the version of the key that wrapped the data key isn't there: %w", core.ErrDecrypt, crypto.ErrUnknownKey, err)
}

// brief is the service's answer in one line: the SDK's text has the whole of it in many.
type brief struct{ *azcore.ResponseError }

func (b brief) Error() string {
	return fmt.Sprintf("%d %s: %s", b.StatusCode, http.StatusText(b.StatusCode), core.Printable(b.ErrorCode))
}

func (b brief) Unwrap() error { return b.ResponseError }

// answered returns an error of the SDK, in one line where the service answered, and the
// answer's status, or 0.
func answered(err error) (int, error) {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode, brief{answer}
	}
	return 0, err
}

func (k *Key) fail(op string, err error) error {
	return fmt.Errorf("azurekeys: %s with %s: %w", op, k.name, err)
}

// String names the key.
func (k *Key) String() string { return "[Key Vault key " + k.name + "]" }

// Format prints String, whatever the verb: fmt would show what the client holds.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// Package crypto encrypts token records before they are stored.
//
// A [Keyring] is a [core.CryptographyManager] with one or several 256-bit keys. It
// encrypts with the first and decrypts with any, so that keys can be replaced while
// records are in use.
//
//	keys, err := crypto.ReadKeyFile("/etc/mail/keys", crypto.KeyFileOptions{})
//	if err != nil {
//		return err
//	}
//	keyring, err := crypto.NewKeyring(keys[0], keys[1:]...)
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(keyring))
//
// An encrypted record is one line of ASCII, because records are also kept in environment
// variables, JSON strings and secret managers that accept only text:
//
//	graphtoken:1:0123456789abcdef:bm9uY2UgLi4u
//
// These are a magic word, the version of the format, the id of the key, and nonce,
// ciphertext and tag of AES-256-GCM in unpadded base64url. The part before the last colon
// is authenticated with the record. So are the associated data, which are the record's
// key: a record that is moved to another user's place doesn't decrypt there. The page
// docs/envelope.md describes the format byte by byte.
//
// [DataKeys] encrypt in the same way, with data keys that a [KeyService] wraps: the key
// that wraps them never leaves the service.
//
// [Rewrap] encrypts stored records again while programs use them: after a change of keys
// or, with a [Transition], of managers.
package crypto

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// ErrUnknownKey: a record was encrypted with a key that the manager doesn't have. It
// comes together with [core.ErrDecrypt]. Adding the key helps.
var ErrUnknownKey = errors.New("encrypted under another key")

// Keyring encrypts with its primary key and decrypts with any of its keys. It is safe for
// concurrent use, and prints the ids of its keys.
//
// A key may be used for 2³² encryptions (one a second for 136 years). After that, random
// nonces are too likely to repeat.
type Keyring struct {
	primary string // id
	ids     []string
	ciphers map[string]cipher.AEAD // by id; their nonces are random, and come first
}

var _ core.CryptographyManager = (*Keyring)(nil)

// NewKeyring returns a keyring that encrypts with primary. To replace a key, first add
// the new one to others in every program, then make it primary. Keep the old one until
// [Keyring.NeedsRotation] is false for every record; [Rewrap] brings that about.
//
// The zero Key is refused. If a key occurs twice, it counts once.
func NewKeyring(primary Key, others ...Key) (*Keyring, error) {
	k := &Keyring{primary: primary.ID(), ciphers: make(map[string]cipher.AEAD)}
	secrets := make(map[string][keySize]byte)
	for _, key := range append([]Key{primary}, others...) {
		if key.secret == nil {
			return nil, errors.New("crypto: a keyring can't hold the zero Key")
		}
		secret := key.secret()
		if known, ok := secrets[key.id]; ok {
			if known != secret {
				return nil, fmt.Errorf("crypto: two different keys have the id %s", key.id)
			}
			continue
		}
		aead, err := newAEAD(secret)
		if err != nil {
			return nil, fmt.Errorf("crypto: %w", err)
		}
		secrets[key.id] = secret
		k.ciphers[key.id] = aead
		k.ids = append(k.ids, key.id)
	}
	return k, nil
}

func newAEAD(secret [keySize]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Encrypt implements [core.CryptographyManager] with the primary key. It fails only for a
// Keyring that NewKeyring didn't make.
func (k *Keyring) Encrypt(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	aead, ok := k.ciphers[k.primary]
	if !ok {
		return nil, errors.New("crypto: the zero Keyring has no key to encrypt with")
	}
	return seal(aead, headerOf(k.primary), plaintext, associatedData), nil
}

// Decrypt implements [core.CryptographyManager]. Every error wraps [core.ErrDecrypt]. It
// tells whether the record is no envelope, was encrypted with a key that isn't in the
// keyring ([ErrUnknownKey]), or was changed or belongs elsewhere.
func (k *Keyring) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	rest, err := open(ciphertext, ofKeyring)
	if err != nil {
		return nil, err
	}
	if len(rest) < idSize+len(":") || rest[idSize] != ':' || !isID(rest[:idSize]) {
		return nil, malformed("its envelope names no key")
	}
	id, encoded := rest[:idSize], rest[idSize+len(":"):]
	aead, ok := k.ciphers[string(id)]
	if !ok {
		return nil, fmt.Errorf("%w: %w: no key with id %s in the keyring", core.ErrDecrypt, ErrUnknownKey, id)
	}
	return unseal(aead, ciphertext[:len(ciphertext)-len(encoded)], encoded, associatedData)
}

// headerOf returns the header of envelopes under the key of this id.
func headerOf(id string) string { return magic + ofKeyring + id + ":" }

// NeedsRotation reports whether a stored record isn't encrypted with the primary key.
// Saving it again encrypts it with the primary key. NeedsRotation looks at the envelope's
// beginning only and decrypts nothing.
func (k *Keyring) NeedsRotation(ciphertext []byte) bool {
	return !bytes.HasPrefix(ciphertext, []byte(headerOf(k.primary)))
}

// String returns the ids of the keys, the primary's first.
func (k *Keyring) String() string {
	if k == nil {
		return "[keyring nil]"
	}
	return "[keyring ids=" + strings.Join(k.ids, ",") + "]"
}

// Format prints String, whatever the verb: fmt would show the keys.
func (k *Keyring) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// MarshalText returns String.
func (k *Keyring) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue returns String.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.String()) }

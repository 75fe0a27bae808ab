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
// An encrypted record begins with a header that people can read:
//
//	graphtoken:3:0123456789abcdef:
//
// These are a magic word, the version of the format, and the id of the key. The rest is
// bytes: nonce, ciphertext and tag of AES-256-GCM. The header is authenticated with the
// record. So are the associated data, which are the record's key: a record that is moved
// to another user's place doesn't decrypt there. The page docs/envelope.md describes the
// format byte by byte, and the older ones that are still read.
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

	// ciphers returns them by id; their nonces are random, and come first. It is a function,
	// because a program that reads memory by reflection, for example to show how two values
	// differ, would find keys in a field.
	ciphers func() map[string]cipher.AEAD
}

var _ core.CryptographyManager = (*Keyring)(nil)

// NewKeyring returns a keyring that encrypts with primary. To replace a key, first add
// the new one to others in every program, then make it primary. Keep the old one until
// [Keyring.NeedsRotation] is false for every record; [Rewrap] brings that about.
//
// The zero Key is refused. If a key occurs twice, it counts once.
func NewKeyring(primary Key, others ...Key) (*Keyring, error) {
	ciphers := make(map[string]cipher.AEAD)
	k := &Keyring{primary: primary.ID(), ciphers: func() map[string]cipher.AEAD { return ciphers }}
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
		ciphers[key.id] = aead
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
	if k.ciphers == nil {
		return nil, errors.New("crypto: the zero Keyring has no key to encrypt with")
	}
	return seal(k.ciphers()[k.primary], ofKeyring.header(k.primary), plaintext, associatedData), nil
}

// Decrypt implements [core.CryptographyManager]. Every error wraps [core.ErrDecrypt]. It
// tells whether the record is no envelope, was encrypted with a key that isn't in the
// keyring ([ErrUnknownKey]), or was changed or belongs elsewhere.
func (k *Keyring) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	e, err := ofKeyring.open(ciphertext)
	switch {
	case err != nil:
		return nil, err
	case !isID(e.name):
		return nil, malformed("its envelope names no key")
	}
	var aead cipher.AEAD
	if k.ciphers != nil {
		aead = k.ciphers()[string(e.name)]
	}
	if aead == nil {
		return nil, fmt.Errorf("%w: %w: none of the keys has the id %s", core.ErrDecrypt, ErrUnknownKey, e.name)
	}
	return unseal(aead, e, associatedData)
}

func isID(name []byte) bool {
	return len(name) == idSize && len(bytes.Trim(name, "0123456789abcdef")) == 0
}

// NeedsRotation reports whether a stored record isn't encrypted with the primary key.
// Saving it again encrypts it with the primary key. A record of the primary key in an older
// format needs no rotation: that is as safe, and the next save replaces it. NeedsRotation
// looks at the envelope's beginning only and decrypts nothing.
func (k *Keyring) NeedsRotation(ciphertext []byte) bool {
	e, err := ofKeyring.open(ciphertext)
	return err != nil || string(e.name) != k.primary
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

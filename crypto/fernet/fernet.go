// Package fernet encrypts token records as Python's cryptography.fernet does, so that a
// program in Go and python-o365 with its usual manager can share a place.
//
//	manager, err := fernet.New(os.Getenv("FERNET_KEY"))
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(manager))
//
// # What Fernet can't do
//
// Fernet has no place for associated data, which are the record's key. A program that can
// write to the store can put one user's record in another user's place, and there the
// record decrypts. Nor does a Fernet token name its key: a missing key and a damaged
// record are the same error. If no Python program reads the records, use the keyring of
// package crypto, which can do both.
//
// # Moving to the keyring
//
// Give every program that reads the records a crypto.Transition from this manager to a
// keyring: it encrypts with the keyring, and reads both. crypto.Rewrap then encrypts the
// stored records again, while the programs run. When it reports that every record is
// current, give the programs the keyring alone. Until then Fernet's records are read, and
// those aren't bound to their place.
package fernet

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Manager is a [core.CryptographyManager] that encrypts with its first key and decrypts
// with any, as Python's Fernet does with one key and MultiFernet with several. It is safe
// for concurrent use, and prints the number of its keys.
type Manager struct {
	keys []key
}

var _ core.CryptographyManager = (*Manager)(nil)

// key is one key, in its parts. They are functions, because a program that reads memory by
// reflection, for example to show how two values differ, would find keys in fields.
type key struct {
	block func() cipher.Block
	sign  func(data []byte) [sha256.Size]byte
}

// A token is a version, the time at which it was made (seconds since 1970, big-endian),
// an initialization vector, the padded plaintext encrypted by AES-128-CBC, and an
// HMAC-SHA256 over all of that, in base64url with padding. See
// https://github.com/fernet/spec/blob/master/Spec.md.
const (
	version   = 0x80
	timeAt    = 1
	ivAt      = timeAt + 8
	bodyAt    = ivAt + aes.BlockSize
	keySize   = 32 // 16 bytes to sign with, then 16 to encrypt with
	emptySize = bodyAt + sha256.Size
)

var encoding = base64.URLEncoding.Strict()

// New returns a manager that encrypts with the first of the keys and decrypts with any of
// them. A key is written as Python's Fernet.generate_key writes it: 32 bytes in base64,
// 44 characters. White space around it is ignored. To replace a key, put the new one
// first in every program, and keep the old one until [Manager.NeedsRotation] is false for
// every record.
//
// If there is no key, that is an error. Errors name a key by its number and never quote
// it.
func New(keys ...string) (*Manager, error) {
	if len(keys) == 0 {
		return nil, errors.New("fernet: a manager needs a key")
	}
	m := &Manager{keys: make([]key, len(keys))}
	for i, text := range keys {
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("fernet: key %d of %d is not a key: %w", i+1, len(keys), err)
		}
		m.keys[i] = k
	}
	return m, nil
}

// parseKey accepts the keys that Python accepts: they are also made by `openssl rand
// -base64 32`, whose alphabet has "+" and "/".
func parseKey(text string) (key, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return key{}, errors.New("it is empty")
	}
	raw, err := base64.URLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(text))
	if err != nil {
		return key{}, errors.New("it is not base64 of 44 characters, the padding among them")
	}
	if len(raw) != keySize {
		return key{}, fmt.Errorf("it has %d bytes instead of %d", len(raw), keySize)
	}
	if bytes.Equal(raw, make([]byte, keySize)) {
		return key{}, errors.New("it is all zeros")
	}
	block, err := aes.NewCipher(raw[keySize/2:])
	if err != nil {
		return key{}, err
	}
	signing := raw[:keySize/2]
	return key{block: func() cipher.Block { return block }, sign: func(data []byte) (sum [sha256.Size]byte) {
		mac := hmac.New(sha256.New, signing)
		mac.Write(data)
		mac.Sum(sum[:0])
		return sum
	}}, nil
}

// Encrypt implements [core.CryptographyManager] with the first key. The associated data
// are ignored, because Fernet has no place for them. Encrypt fails only for a Manager
// that New didn't make.
func (m *Manager) Encrypt(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	if len(m.keys) == 0 {
		return nil, errors.New("fernet: the zero Manager has no key to encrypt with")
	}
	var iv [aes.BlockSize]byte
	rand.Read(iv[:]) // never fails
	return m.keys[0].seal(plaintext, time.Now(), iv), nil
}

func (k key) seal(plaintext []byte, now time.Time, iv [aes.BlockSize]byte) []byte {
	padding := aes.BlockSize - len(plaintext)%aes.BlockSize // PKCS #7: 1 to 16 bytes, each with the number of them
	token := make([]byte, 0, emptySize+len(plaintext)+padding)
	token = append(token, version)
	token = binary.BigEndian.AppendUint64(token, uint64(now.Unix()))
	token = append(token, iv[:]...)
	token = append(token, plaintext...)
	for range padding {
		token = append(token, byte(padding))
	}
	cipher.NewCBCEncrypter(k.block(), iv[:]).CryptBlocks(token[bodyAt:], token[bodyAt:])
	tag := k.sign(token)
	return encoding.AppendEncode(nil, append(token, tag[:]...))
}

// Decrypt implements [core.CryptographyManager] with any of the keys, and ignores the
// associated data. Every error wraps [core.ErrDecrypt]. The age of a token doesn't
// matter: a record is as old as its user's last refresh. White space around the token is
// ignored, as in Python.
func (m *Manager) Decrypt(_ context.Context, ciphertext, _ []byte) ([]byte, error) {
	token, err := open(ciphertext)
	if err != nil {
		return nil, err
	}
	for _, k := range m.keys {
		if k.signed(token) {
			return k.decrypt(token)
		}
	}
	return nil, malformed("it was altered, or encrypted with a key that isn't among the " + strconv.Itoa(len(m.keys)) + " there; Fernet can't tell")
}

// open decodes a token's text.
func open(text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	if bytes.ContainsAny(text, "\r\n") { // the decoder would ignore line breaks
		return nil, malformed("it is not a Fernet token: it has line breaks")
	}
	token, err := encoding.AppendDecode(nil, text)
	switch {
	case err != nil:
		return nil, malformed("it is not a Fernet token, or a damaged one: it is not base64")
	case len(token) == 0:
		return nil, malformed("it is empty")
	case token[0] != version:
		return nil, malformed("it is not a Fernet token: it doesn't begin as one")
	case len(token) < emptySize:
		return nil, malformed("it is a Fernet token that was cut short")
	}
	return token, nil
}

// signed compares in constant time.
func (k key) signed(token []byte) bool {
	n := len(token) - sha256.Size
	tag := k.sign(token[:n])
	return hmac.Equal(tag[:], token[n:])
}

// decrypt decrypts a token that k signed. Only a holder of the key can have made a token
// that fails here, so the padding tells an attacker nothing.
func (k key) decrypt(token []byte) ([]byte, error) {
	iv, body := token[ivAt:bodyAt], token[bodyAt:len(token)-sha256.Size]
	if len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil, malformed("its maker signed what is no whole number of blocks")
	}
	cipher.NewCBCDecrypter(k.block(), iv).CryptBlocks(body, body)
	padding := int(body[len(body)-1])
	if padding == 0 || padding > aes.BlockSize || len(bytes.TrimRight(body[len(body)-padding:], string(rune(padding)))) > 0 {
		return nil, malformed("its maker signed a padding that is none")
	}
	n := len(body) - padding
	return body[:n:n], nil
}

// NeedsRotation reports whether a stored record isn't encrypted with the first key.
// Saving it again encrypts it with the first key. A token names no key, so NeedsRotation
// checks the whole token's signature.
func (m *Manager) NeedsRotation(ciphertext []byte) bool {
	token, err := open(ciphertext)
	return err != nil || len(m.keys) == 0 || !m.keys[0].signed(token)
}

func malformed(reason string) error { return fmt.Errorf("%w: %s", core.ErrDecrypt, reason) }

// String returns the number of keys.
func (m *Manager) String() string {
	if m == nil {
		return "[fernet nil]"
	}
	return "[fernet keys=" + strconv.Itoa(len(m.keys)) + "]"
}

// Format prints String, whatever the verb.
func (m *Manager) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// MarshalText returns String.
func (m *Manager) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// LogValue returns String.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(m.String()) }

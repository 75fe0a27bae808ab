package crypto

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"
)

const (
	keySize = 32 // AES-256

	idBytes = 8
	idSize  = 2 * idBytes
)

// Key is a secret key. It prints as its id, in fmt, slog and JSON; [Key.Reveal] returns
// the key itself, to be kept where secrets are kept.
//
// Keys can't be compared with ==; compare their ids. The zero Key is no key, and
// [NewKeyring] refuses it.
type Key struct {
	id string
	// A function, because fmt prints a field that is not exported without a call of its
	// Format method, and follows pointers.
	secret func() [keySize]byte
}

// NewKey returns a random key.
func NewKey() Key {
	var secret [keySize]byte
	rand.Read(secret[:]) // never fails
	return KeyFromBytes(secret)
}

// KeyFromBytes returns the key that consists of these 32 random bytes, for example from
// another key store. A passphrase is not random, and could be guessed. An array of zeros
// gives the zero Key.
func KeyFromBytes(secret [32]byte) Key {
	if secret == [keySize]byte{} {
		return Key{}
	}
	// The id is stored unencrypted with every record. A hash doesn't lead back to a
	// random key, and because of the label nobody else computes the same hash.
	sum := sha256.Sum256(append([]byte("graphtoken key id\x00"), secret[:]...))
	return Key{
		id:     hex.EncodeToString(sum[:idBytes]),
		secret: func() [keySize]byte { return secret },
	}
}

// The text form of a key is a word by which people, and programs that search for leaked
// secrets, recognize it, and then the key and its checksum in base64url.
const (
	keyPrefix   = "gtkey1_"
	keyTextSize = len(keyPrefix) + (keySize+crc32.Size)/3*4
)

// ParseKey returns the key that Reveal wrote as text. White space around it is ignored.
// Errors tell what is wrong with the text and never quote it.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, keyPrefix)
	switch {
	case text == "":
		return Key{}, errors.New("crypto: not a key: it is empty")
	case !ok:
		return Key{}, errors.New("crypto: not a key: it does not begin with " + keyPrefix)
	case len(text) != keyTextSize:
		return Key{}, fmt.Errorf("crypto: not a key: it has %d characters instead of %d", len(text), keyTextSize)
	}
	raw, err := decode([]byte(body))
	if err != nil {
		return Key{}, errors.New("crypto: not a key: it has a character that is in no key")
	}
	secret := [keySize]byte(raw)
	if binary.BigEndian.Uint32(raw[keySize:]) != checksum(secret) {
		return Key{}, errors.New("crypto: not a key: its checksum doesn't match, a character must be wrong")
	}
	key := KeyFromBytes(secret)
	if key.secret == nil {
		return Key{}, errors.New("crypto: not a key: it is all zeros")
	}
	return key, nil
}

// ReadKeys reads keys as text, one on each line, up to the end of r. Empty lines are
// ignored, and so are "#" and the text after it. The first key is meant to be the primary
// one:
//
//	keys, err := crypto.ReadKeys(file)
//	if err != nil {
//		return err
//	}
//	keyring, err := crypto.NewKeyring(keys[0], keys[1:]...)
//
// If there is no key, that is an error.
func ReadKeys(r io.Reader) ([]Key, error) {
	var keys []Key
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // editors begin files with a mark
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		key, err := ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("crypto: reading keys: %w", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("crypto: the text has no key in it")
	}
	return keys, nil
}

// ID names the key without revealing it. It is in every record that is encrypted with the
// key. The zero Key has no ID.
func (k Key) ID() string { return k.id }

// Reveal returns the key as the text that ParseKey reads; for the zero Key, the empty
// text.
func (k Key) Reveal() string {
	if k.secret == nil {
		return ""
	}
	secret := k.secret()
	return keyPrefix + encoding.EncodeToString(binary.BigEndian.AppendUint32(secret[:], checksum(secret)))
}

// checksum finds every single mistyped character, and every exchange of two neighbours.
func checksum(secret [keySize]byte) uint32 { return crc32.ChecksumIEEE(secret[:]) }

// String returns the key's id in brackets.
func (k Key) String() string {
	if k.secret == nil {
		return "[no key]"
	}
	return "[key id=" + k.id + "]"
}

// Format prints String, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// MarshalText returns String, so that a key in a configuration that is printed as JSON
// stays secret. It can't be read back: store a key with Reveal.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue returns String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

package bitwardenclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// encString is what Bitwarden calls an encrypted string, of type 2 (see
// bitwarden-crypto's enc_string/symmetric.rs): AES-256-CBC with PKCS#7 padding, and
// HMAC-SHA256 over the initialization vector and the ciphertext. It has this form:
//
//	2.base64(iv)|base64(ciphertext)|base64(mac)
type encString struct {
	iv         [aes.BlockSize]byte
	ciphertext []byte
	mac        [sha256.Size]byte
}

// parseEncString reads an encString. Its errors are core.ErrDecrypt.
func parseEncString(s string) (encString, error) {
	kind, rest, _ := strings.Cut(s, ".")
	parts := strings.Split(rest, "|")
	if kind != "2" || len(parts) != 3 {
		return encString{}, fmt.Errorf("%w: it isn't an EncString of type 2", core.ErrDecrypt)
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = decodeBase64(part); err != nil {
			return encString{}, fmt.Errorf("%w: the EncString isn't valid base64", core.ErrDecrypt)
		}
	}
	iv, ciphertext, mac := decoded[0], decoded[1], decoded[2]
	if len(iv) != aes.BlockSize || len(mac) != sha256.Size || len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return encString{}, fmt.Errorf("%w: the EncString is cut short", core.ErrDecrypt)
	}
	return encString{iv: [aes.BlockSize]byte(iv), ciphertext: ciphertext, mac: [sha256.Size]byte(mac)}, nil
}

func (e encString) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return "2." + b64(e.iv[:]) + "|" + b64(e.ciphertext) + "|" + b64(e.mac[:])
}

// symmetricKey encrypts and decrypts EncStrings: the first half by AES-256, the second by
// HMAC-SHA256. Bitwarden stores it in this form.
type symmetricKey [keyLen]byte

const keyLen = 64 // bytes

func newSymmetricKey(raw []byte) (symmetricKey, error) {
	if len(raw) != keyLen {
		return symmetricKey{}, fmt.Errorf("%w: the key has %d bytes, want %d", core.ErrDecrypt, len(raw), keyLen)
	}
	return symmetricKey(raw), nil
}

// Format prints no key.
func (k symmetricKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[key]") }

func (k *symmetricKey) encrypt(plain []byte) encString {
	var e encString
	_, _ = rand.Read(e.iv[:]) // it never fails
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	e.ciphertext = slices.Concat(plain, bytes.Repeat([]byte{byte(padding)}, padding))
	cipher.NewCBCEncrypter(k.block(), e.iv[:]).CryptBlocks(e.ciphertext, e.ciphertext)
	copy(e.mac[:], k.sum(e))
	return e
}

// decrypt returns the plain text, or core.ErrDecrypt. It checks the MAC before anything
// else.
func (k *symmetricKey) decrypt(e encString) ([]byte, error) {
	if !hmac.Equal(k.sum(e), e.mac[:]) {
		return nil, fmt.Errorf("%w: the MAC doesn't match", core.ErrDecrypt)
	}
	plain := make([]byte, len(e.ciphertext))
	cipher.NewCBCDecrypter(k.block(), e.iv[:]).CryptBlocks(plain, e.ciphertext)
	// The MAC proves that somebody with the key wrote the padding. So an error about
	// wrong padding tells nothing to an attacker.
	padding := int(plain[len(plain)-1])
	text, ok := bytes.CutSuffix(plain, bytes.Repeat([]byte{byte(padding)}, padding))
	if !ok || padding < 1 || padding > aes.BlockSize {
		return nil, fmt.Errorf("%w: the padding is wrong", core.ErrDecrypt)
	}
	return text, nil
}

// open parses and decrypts an EncString.
func (k *symmetricKey) open(s string) ([]byte, error) {
	e, err := parseEncString(s)
	if err != nil {
		return nil, err
	}
	return k.decrypt(e)
}

func (k *symmetricKey) block() cipher.Block {
	block, err := aes.NewCipher(k[:keyLen/2])
	if err != nil {
		panic(err) // only for a key that isn't 16, 24 or 32 bytes
	}
	return block
}

func (k *symmetricKey) sum(e encString) []byte {
	h := hmac.New(sha256.New, k[keyLen/2:])
	h.Write(e.iv[:])
	h.Write(e.ciphertext)
	return h.Sum(nil)
}

// decodeBase64 accepts padded and unpadded base64, as Bitwarden's clients do.
func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

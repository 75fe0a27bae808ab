package bitwardentest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// key is an encryption key of 32 bytes and a MAC key of 32 bytes.
type key [64]byte

func newKey() (k key) {
	rand.Read(k[:])
	return k
}

// shareableKey is the key that an access token's last 16 bytes stand for:
// derive_shareable_key in crates/bitwarden-crypto of github.com/bitwarden/sdk-internal.
func shareableKey(seed []byte) (k key) {
	mac := hmac.New(sha256.New, []byte("bitwarden-accesstoken"))
	mac.Write(seed)
	okm, err := hkdf.Expand(sha256.New, mac.Sum(nil), "sm-access-token", len(k))
	if err != nil {
		panic(err) // of a length that is too long, which 64 bytes aren't
	}
	copy(k[:], okm)
	return k
}

// seal makes an EncString of type 2, AES-256-CBC with HMAC-SHA256:
// 2.base64(iv)|base64(ciphertext)|base64(mac).
func (k key) seal(plain string) string {
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv)
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	ciphertext := append([]byte(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(k.block(), iv).CryptBlocks(ciphertext, ciphertext)
	b64 := base64.StdEncoding.EncodeToString
	return "2." + b64(iv) + "|" + b64(ciphertext) + "|" + b64(k.mac(iv, ciphertext))
}

var errUnreadable = errors.New("bitwardentest: not an EncString of this key")

// open is seal's inverse.
func (k key) open(s string) (string, error) {
	pieces, ok := pieces(s)
	if !ok {
		return "", errUnreadable
	}
	iv, ciphertext, mac := pieces[0], pieces[1], pieces[2]
	if !hmac.Equal(mac, k.mac(iv, ciphertext)) || len(iv) != aes.BlockSize || len(ciphertext)%aes.BlockSize != 0 {
		return "", errUnreadable
	}
	cipher.NewCBCDecrypter(k.block(), iv).CryptBlocks(ciphertext, ciphertext)
	pad := int(ciphertext[len(ciphertext)-1])
	if pad == 0 || pad > aes.BlockSize {
		return "", errUnreadable
	}
	return string(ciphertext[:len(ciphertext)-pad]), nil
}

// pieces are the three non-empty parts of an EncString of type 2, all that a server can
// tell of one: EncryptedStringAttribute.cs.
func pieces(s string) (pieces [3][]byte, ok bool) {
	s, ok = strings.CutPrefix(s, "2.")
	parts := strings.Split(s, "|")
	if !ok || len(parts) != len(pieces) {
		return pieces, false
	}
	for i, part := range parts {
		b, err := base64.StdEncoding.DecodeString(part)
		if err != nil || len(b) == 0 {
			return pieces, false
		}
		pieces[i] = b
	}
	return pieces, true
}

func (k key) block() cipher.Block {
	block, err := aes.NewCipher(k[:32])
	if err != nil {
		panic(err) // of a key's length, which is right
	}
	return block
}

func (k key) mac(iv, ciphertext []byte) []byte {
	mac := hmac.New(sha256.New, k[32:])
	mac.Write(iv)
	mac.Write(ciphertext)
	return mac.Sum(nil)
}

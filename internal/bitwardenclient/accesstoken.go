package bitwardenclient

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
)

// accessToken is a machine account's access token. It has this form:
//
//	0.<client id>.<client secret>:<base64 of 16 bytes>
//
// The 16 bytes never leave this machine: the key that is derived from them decrypts the
// organization's key, which the answer to the login contains.
type accessToken struct {
	clientID     string
	clientSecret string
	key          symmetricKey
}

// parseAccessToken reads an access token. Its errors say what is wrong, and show no part
// of s.
func parseAccessToken(s string) (*accessToken, error) {
	id, seed, _ := strings.Cut(strings.TrimSpace(s), ":")
	parts := strings.Split(id, ".")
	raw, err := decodeBase64(seed)
	if err != nil || len(raw) != 16 || len(parts) != 3 || parts[0] != "0" || !IsUUID(parts[1]) || parts[2] == "" {
		return nil, errors.New("the access token must be a whole one: 0.<UUID>.<client secret>:<16 bytes in base64>")
	}
	key, err := deriveKey(raw)
	if err != nil {
		return nil, err
	}
	return &accessToken{clientID: parts[1], clientSecret: parts[2], key: key}, nil
}

// deriveKey derives a key from the 16 bytes, in the same way as bitwarden-crypto's
// derive_shareable_key.
func deriveKey(seed []byte) (symmetricKey, error) {
	h := hmac.New(sha256.New, []byte("bitwarden-accesstoken"))
	h.Write(seed)
	raw, err := hkdf.Expand(sha256.New, h.Sum(nil), "sm-access-token", keyLen)
	if err != nil {
		return symmetricKey{}, err
	}
	return newSymmetricKey(raw)
}

// Format prints only the id.
func (t accessToken) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[access token "+t.clientID+"]")
}

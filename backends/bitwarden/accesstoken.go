package bitwarden

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
)

// accessToken is a machine account's access token, which is written
//
//	0.<client id>.<client secret>:<base64 of 16 bytes>
//
// The bytes never leave the machine: the key that is derived of them opens the
// organization's key, which comes with the login.
type accessToken struct {
	clientID     string
	clientSecret string
	key          symmetricKey
}

// parseAccessToken says what is wrong, and shows nothing of s.
func parseAccessToken(s string) (*accessToken, error) {
	id, seed, ok := strings.Cut(strings.TrimSpace(s), ":")
	parts := strings.Split(id, ".")
	switch {
	case !ok:
		return nil, errors.New("the access token has no key: it ends before the colon")
	case len(parts) != 3:
		return nil, errors.New("the access token doesn't have three parts before the colon")
	case parts[0] != "0":
		return nil, errors.New("the access token isn't of version 0")
	case !isUUID(parts[1]):
		return nil, errors.New("the access token's id is no UUID")
	case parts[2] == "":
		return nil, errors.New("the access token has no client secret")
	}
	raw, err := decodeBase64(seed)
	if err != nil || len(raw) != 16 {
		return nil, errors.New("the access token's key isn't 16 bytes in base64")
	}
	key, err := deriveKey(raw)
	if err != nil {
		return nil, err
	}
	return &accessToken{clientID: parts[1], clientSecret: parts[2], key: key}, nil
}

// deriveKey stretches the 16 bytes as bitwarden-crypto's derive_shareable_key
// does.
func deriveKey(seed []byte) (symmetricKey, error) {
	h := hmac.New(sha256.New, []byte("bitwarden-accesstoken"))
	h.Write(seed)
	raw, err := hkdf.Expand(sha256.New, h.Sum(nil), "sm-access-token", keyLen)
	if err != nil {
		return symmetricKey{}, err
	}
	return newSymmetricKey(raw)
}

// Format prints whose token it is.
func (t accessToken) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[access token "+t.clientID+"]")
}

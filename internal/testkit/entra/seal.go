package entra

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
)

// sealer signs what the server issues. Id tokens are for clients to check, with an RSA
// key like Entra's. Access tokens for Graph are opaque to clients, so a secret key that
// the server shares with its own Graph alone is all they need, and costs nothing.
type sealer struct {
	id     *rsa.PrivateKey
	kid    string
	access []byte
}

// idKey is made once per process: it is what makes starting a server slow.
var idKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newSealer() (sealer, error) {
	key, err := idKey()
	if err != nil {
		return sealer{}, err
	}
	access := make([]byte, 32)
	_, _ = rand.Read(access) // never fails: it ends the program instead (crypto/rand, Go 1.24)
	kid := sha256.Sum256(key.N.Bytes())
	return sealer{id: key, kid: b64(kid[:15]), access: access}, nil
}

// idToken is a JWS in compact form (RFC 7515 section 3.1), RS256.
func (s sealer) idToken(claims any) (string, error) {
	signed, err := compact(map[string]string{"typ": "JWT", "alg": "RS256", "kid": s.kid}, claims)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, s.id, crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	return signed + "." + b64(sig), nil
}

// accessToken has the form of a JWT too, as Entra's have, with a MAC for a signature.
func (s sealer) accessToken(claims accessClaims) (string, error) {
	signed, err := compact(map[string]string{"typ": "JWT", "alg": "HS256"}, claims)
	if err != nil {
		return "", err
	}
	return signed + "." + b64(s.mac(signed)), nil
}

var errForged = errors.New("not a token of this server")

// open is the inverse of accessToken; it judges the seal, not the time.
func (s sealer) open(token string) (accessClaims, error) {
	var claims accessClaims
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return claims, errForged
	}
	sig, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil || !hmac.Equal(sig, s.mac(token[:dot])) {
		return claims, errForged
	}
	_, payload, _ := strings.Cut(token[:dot], ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return claims, errForged
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return claims, errForged
	}
	return claims, nil
}

func (s sealer) mac(signed string) []byte {
	m := hmac.New(sha256.New, s.access)
	m.Write([]byte(signed))
	return m.Sum(nil)
}

// jwk is the public half of the id token key (RFC 7518 section 6.3.1).
func (s sealer) jwk() map[string]string {
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": s.kid,
		"n": b64(s.id.N.Bytes()), "e": b64(big.NewInt(int64(s.id.E)).Bytes()),
	}
}

func compact(header, claims any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return b64(h) + "." + b64(c), nil
}

// random is n bytes nobody can guess, in unreserved characters of a URL.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b64(b)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// userCode is what a person types for the device code flow: nine letters and digits
// without those that look alike (RFC 8628 section 6.1).
func userCode() string {
	const alphabet = "BCDFGHJKLMNPQRSTVWXZ23456789"
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	n := binary.BigEndian.Uint64(b[:])
	code := make([]byte, 9)
	for i := range code {
		code[i] = alphabet[n%uint64(len(alphabet))]
		n /= uint64(len(alphabet))
	}
	return string(code)
}

package entra

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// checkAssertion is RFC 7523 section 3 for a client that signs with its certificate's
// key, RS256 or PS256 as MSAL does (MSAL Go, accesstokens.go: Credential.JWT).
func (c *Client) checkAssertion(kind, assertion, endpoint string, now time.Time) *refusal {
	var header struct {
		Algorithm string `json:"alg"`
	}
	var claims struct {
		Issuer   string  `json:"iss"`
		Subject  string  `json:"sub"`
		Audience string  `json:"aud"`
		Expires  float64 `json:"exp"`
	}
	parts := strings.Split(assertion, ".")
	if kind != jwtBearer || len(parts) != 3 || !decode(parts[0], &header) || !decode(parts[1], &claims) {
		return refuse("invalid_client", 50027, "JWT token is invalid or malformed.")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return refuse("invalid_client", 50027, "JWT token is invalid or malformed.")
	}
	signed := func(cert *x509.Certificate) bool {
		return verifies(cert, header.Algorithm, parts[0]+"."+parts[1], signature)
	}
	switch {
	case !slices.ContainsFunc(c.Certificates, signed):
		return refuse("invalid_client", 700027, "Client assertion failed signature validation.")
	case claims.Issuer != c.ID || claims.Subject != c.ID:
		return refuse("invalid_client", 700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
	case claims.Audience != endpoint:
		return refuse("invalid_client", 700023, "Client assertion audience claim does not match Realm issuer.")
	case float64(now.Unix()) >= claims.Expires:
		return refuse("invalid_client", 700024, "Client assertion is not within its valid time range.")
	}
	return nil
}

func decode(part string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, v) == nil
}

func verifies(cert *x509.Certificate, algorithm, signed string, signature []byte) bool {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return false
	}
	digest := sha256.Sum256([]byte(signed))
	switch algorithm {
	case "RS256":
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	case "PS256":
		return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil) == nil
	}
	return false
}

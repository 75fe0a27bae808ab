package entra

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
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
		SHA1      string `json:"x5t"`
		SHA256    string `json:"x5t#S256"`
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
	for _, f := range c.Federated {
		if f.Issuer == claims.Issuer {
			return f.check(header.Algorithm, parts[0]+"."+parts[1], signature, claims.Subject, claims.Audience, float64(now.Unix()) < claims.Expires)
		}
	}
	named := func(cert *x509.Certificate) bool {
		sha1, sha256 := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
		return isDigest(header.SHA1, sha1[:]) || isDigest(header.SHA256, sha256[:])
	}
	signed := func(cert *x509.Certificate) bool {
		return named(cert) && verifies(cert.PublicKey, header.Algorithm, parts[0]+"."+parts[1], signature)
	}
	switch {
	case !slices.ContainsFunc(c.Certificates, named):
		return refuse("invalid_client", 700027, "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found.]")
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

// check is the judgement of a token of another provider's, which must be made for Entra.
func (f Federation) check(algorithm, signed string, signature []byte, subject, audience string, inTime bool) *refusal {
	switch {
	case !verifies(f.Key, algorithm, signed, signature):
		return refuse("invalid_client", 700027, "Client assertion failed signature validation.")
	case subject != f.Subject:
		return refuse("invalid_client", 700213, "No matching federated identity record found for presented assertion subject '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", subject)
	case audience != "api://AzureADTokenExchange":
		return refuse("invalid_client", 700212, "No matching federated identity record found for presented assertion audience '%s'.", audience)
	case !inTime:
		return refuse("invalid_client", 700024, "Client assertion is not within its valid time range.")
	}
	return nil
}

// isDigest compares a header with a digest: RFC 7515 section 4.1.7 wants base64url, and
// MSAL Go writes base64 with padding, which Entra takes.
func isDigest(header string, digest []byte) bool {
	return header == base64.RawURLEncoding.EncodeToString(digest) || header == base64.URLEncoding.EncodeToString(digest) || header == base64.StdEncoding.EncodeToString(digest)
}

func decode(part string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, v) == nil
}

func verifies(public any, algorithm, signed string, signature []byte) bool {
	key, ok := public.(*rsa.PublicKey)
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

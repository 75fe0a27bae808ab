package tokencache

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// HomeAccountID returns the ID of a user from the client_info of a token response, which
// is base64url of {"uid": …, "utid": …}: "<uid>.<utid>". If the tenant is missing, the
// uid is used in its place, as in MSAL Go (accesstokens.TokenResponse.HomeAccountID),
// which stores its tokens under that ID.
func HomeAccountID(clientInfo string) (string, error) {
	var info struct{ UID, UTID string }
	data, err := decodeSegment(clientInfo)
	if err != nil || json.Unmarshal(data, &info) != nil || info.UID == "" {
		return "", fmt.Errorf("%w: its client_info can't be read", errUnusable)
	}
	if info.UTID == "" {
		info.UTID = info.UID
	}
	return info.UID + "." + info.UTID, nil
}

// homeAccount returns the owner of the tokens; "" means the application itself.
func (c *Cache) homeAccount(r TokenResponse, claims idTokenClaims) (string, error) {
	if r.ClientInfo != "" {
		return HomeAccountID(r.ClientInfo)
	}
	if r.HomeAccountID != "" || r.IDToken == "" {
		return r.HomeAccountID, nil
	}
	// An account with this object ID in this tenant is this user. A guest's home is
	// elsewhere.
	id, known := claims.localAccountID(""), ""
	for of, g := range c.in().groups {
		if of.cloud != cloud(r.Environment) || id == "" {
			continue
		}
		for _, e := range g {
			if home := e.field[homeAccountID]; e.kind == accounts && strings.EqualFold(e.field[localAccountID], id) && (known == "" || home < known) {
				known = home
			}
		}
	}
	switch {
	case known != "":
		return known, nil
	case claims.objectID != "" && claims.tenantID != "":
		return claims.objectID + "." + claims.tenantID, nil
	case claims.subject != "": // as MSAL does for ADFS, which knows no client_info
		return claims.subject, nil
	}
	return "", fmt.Errorf("%w: it doesn't say whose tokens these are", errUnusable)
}

// claims are the payload of a JWT.
type claims map[string]json.RawMessage

// readClaims reads the payload of an ID token. A token that is no JWT has no claims. MSAL
// Go, too, keeps ID tokens that it can't read.
func readClaims(token string) (claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil
	}
	var c claims
	payload, err := decodeSegment(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return nil, fmt.Errorf("%w: its id token can't be read", errUnusable)
	}
	return c, nil
}

func decodeSegment(segment string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(segment, "="))
}

// text returns a claim that is a string, or a number as it is written. A claim of another
// type counts as missing, because the tokens must not be lost for it.
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(c[name], &n) == nil {
		return n.String()
	}
	return ""
}

// first returns the first text of a claim that is a list.
func (c claims) first(name string) string {
	var list []json.RawMessage
	if json.Unmarshal(c[name], &list) != nil {
		return c.text(name)
	}
	for _, item := range list {
		if s := (claims{name: item}).text(name); s != "" {
			return s
		}
	}
	return ""
}

// date returns a NumericDate (RFC 7519 section 2), 0 if there is none.
func (c claims) date(name string) int64 {
	var at float64
	if json.Unmarshal(c[name], &at) != nil || at < 0 || at > endOfTime {
		return 0
	}
	return int64(at)
}

// idTokenClaims are the claims of an ID token that the cache needs.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
type idTokenClaims struct{ objectID, subject, tenantID, username string }

func (c claims) idToken() idTokenClaims {
	id := idTokenClaims{objectID: c.text("oid"), subject: c.text("sub"), tenantID: c.text("tid")}
	for _, name := range []string{"preferred_username", "upn", "email", "emails"} { // emails is Azure AD B2C's, a list
		if id.username = c.first(name); id.username != "" {
			break
		}
	}
	return id
}

// issuedAt is 0 where the token doesn't say.
func issuedAt(token string) int64 {
	c, err := readClaims(token)
	if err != nil {
		return 0
	}
	return c.date("iat")
}

// localAccountID is the user's ID in the tenant that was asked, or else the first part of
// the home account ID.
func (c idTokenClaims) localAccountID(home string) string {
	switch {
	case c.objectID != "":
		return c.objectID
	case c.subject != "":
		return c.subject
	}
	id, _, _ := strings.Cut(home, ".")
	return id
}

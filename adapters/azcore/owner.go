package azcore

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// owner is the owner of an access token, as far as the token tells. Microsoft's tokens
// are JWTs, except those for personal accounts. Nothing is verified: the credential
// obtained the token, and the owner only decides under which name it is stored.
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
type owner struct {
	objectID, tenantID string // oid, tid
	clientID           string // appid of version 1, azp of version 2
	username           string
	delegated          bool // the application acts for a user: there is an scp claim
}

// ownerOf reads a token. If the token tells nothing, the owner is the zero owner.
func ownerOf(token string) owner {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return owner{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return owner{}
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(payload, &claims) != nil {
		return owner{}
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(claims[name], &s) // a claim of another type counts as missing
		return s
	}
	return owner{
		objectID: text("oid"), tenantID: text("tid"), clientID: cmp.Or(text("appid"), text("azp")),
		username:  cmp.Or(text("preferred_username"), text("upn"), text("unique_name")),
		delegated: text("scp") != "",
	}
}

// homeAccountID is the ID that MSAL has for the same user at home; "" if the token
// doesn't tell.
func (o owner) homeAccountID() string {
	if o.objectID == "" || o.tenantID == "" {
		return ""
	}
	return o.objectID + "." + o.tenantID
}

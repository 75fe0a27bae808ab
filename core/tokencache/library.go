package tokencache

import (
	"cmp"
	"slices"
	"strings"
)

// Library is another library that works on the same record. Libraries read the fields of
// an entry, whatever its key is, but they write under keys of their own. If a library
// writes under another key, the refresh token that it used stays beside the new one, and
// MSAL Go, Node and Java may take either. So this package keeps the key of an entry that
// it replaces, and a program that signs in first, beside one of these libraries, names
// the library in TokenResponse.Library.
type Library uint8

const (
	// AnyLibrary has MSAL Python's keys. They have the request's scopes in the key of a
	// refresh token, and python-o365 reads them there.
	AnyLibrary Library = iota
	MSALPython
	MSALGo
	MSALNode
	MSALJava
)

// scopes are in the order in which the library files them.
func (l Library) scopes(scopes []string) []string {
	if l == AnyLibrary || l == MSALPython {
		slices.Sort(scopes)
	}
	return scopes
}

// environment is the alias under which the library stores tokens: Node and Java use the
// cloud's preferred cache host (preferred_cache in instance discovery).
func (l Library) environment(host string) string {
	if (l == MSALNode || l == MSALJava) && cloud(host) == publicCloud {
		return "login.windows.net"
	}
	return host
}

func (l Library) keysRefreshTokensByScope() bool { return l == AnyLibrary || l == MSALPython }

// key is the key under which a library stores a new entry: token_cache.py (key_makers) of
// MSAL Python, items.go and tokens.go of MSAL Go, CacheHelpers and NodeStorage
// (generateCredentialKey) of MSAL Node, and the CacheEntity classes of MSAL for Java.
func (p *putting) key(k kind) string {
	r := p.r
	of := r.ClientID
	if k == refreshTokens && !r.Library.keysRefreshTokensByScope() {
		of = cmp.Or(r.FamilyID, of)
	}
	parts := []string{p.home, p.environment, credentialTypes[k], of}
	switch k {
	case accessTokens:
		parts = append(parts, r.Tenant, r.Scope)
		if r.Library == MSALNode {
			parts = append(parts, "")
		}
		if !strings.EqualFold(r.TokenType, "Bearer") {
			parts = append(parts, r.TokenType) // as MSAL Go has it
		}
	case refreshTokens:
		switch r.Library {
		case MSALGo:
		case MSALNode:
			parts = append(parts, "", "", "")
		case MSALJava:
			parts = append(parts, "", "")
		default:
			parts = append(parts, "", r.Scope)
		}
	case idTokens:
		parts = append(parts, r.Tenant)
		if r.Library != MSALGo {
			parts = append(parts, "")
		}
		if r.Library == MSALNode {
			parts = append(parts, "")
		}
	case accounts:
		parts = []string{p.home, p.environment, r.Tenant}
	case appMetadata:
		parts = []string{"appmetadata", p.environment, of}
	}
	return fold(strings.Join(parts, "-"))
}

package tokencache

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is a section of the document.
type kind uint8

const (
	accessTokens kind = iota
	accounts
	idTokens
	refreshTokens
	appMetadata
	kinds
)

// sectionNames are in the order in which sections are written.
var sectionNames = [kinds]string{"AccessToken", "Account", "IdToken", "RefreshToken", "AppMetadata"}

// credentialTypes are the values of credential_type.
var credentialTypes = [kinds]string{accessTokens: "AccessToken", idTokens: "IdToken", refreshTokens: "RefreshToken"}

// field names what the package reads of an entry.
type field uint8

const (
	homeAccountID field = iota
	environment
	clientID
	realm
	target
	secret
	tokenType
	cachedAt
	expiresOn
	refreshOn
	modifiedAt
	familyID
	username
	localAccountID
	authorityType
	accountSource
	keyID         // of a proof-of-possession token
	assertionHash // of a token obtained on behalf of another
	fields
)

var fieldNames = [fields]string{
	"home_account_id", "environment", "client_id", "realm", "target", "secret", "token_type", "cached_at",
	"expires_on", "refresh_on", "last_modification_time", "family_id", "username", "local_account_id",
	"authority_type", "account_source", "key_id", "user_assertion_hash",
}

var fieldsByName = func() map[string]field {
	m := make(map[string]field, fields)
	for f, name := range fieldNames {
		m[name] = field(f)
	}
	return m
}()

// entry is one entry of a section. It is immutable.
type entry struct {
	kind   kind
	key    string         // it stands under
	raw    string         // the JSON value
	field  [fields]string // strings and numbers; a null is ""
	scopes []string       // of target
}

// environments are the hosts that stand for one cloud, and the one that stands
// for all of them: tokens are good at any.
// https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
// and the aliases that instance discovery returns.
var environments = map[string]string{
	"login.windows.net":            "login.microsoftonline.com",
	"login.microsoft.com":          "login.microsoftonline.com",
	"sts.windows.net":              "login.microsoftonline.com",
	"login.chinacloudapi.cn":       "login.partner.microsoftonline.cn",
	"login-us.microsoftonline.com": "login.microsoftonline.com",
	"login.usgovcloudapi.net":      "login.microsoftonline.us",
}

func sameEnvironment(a, b string) bool {
	return a == b || cloud(a) == cloud(b)
}

func cloud(host string) string {
	host = fold(host)
	if c, ok := environments[host]; ok {
		return c
	}
	return host
}

// sameIdentity reports whether two entries of one user stand for the same
// thing, whatever keys they stand under.
func sameIdentity(a, b *entry) bool {
	if a.kind != b.kind || a.opaque() || b.opaque() {
		return a.kind == b.kind && a.key == b.key
	}
	if !sameEnvironment(a.field[environment], b.field[environment]) {
		return false
	}
	same := func(fs ...field) bool {
		for _, f := range fs {
			if !strings.EqualFold(a.field[f], b.field[f]) {
				return false
			}
		}
		return true
	}
	switch a.kind {
	case accessTokens:
		return same(clientID, realm, keyID, assertionHash) && sameTokenType(a, b) && sameScopes(a.scopes, b.scopes)
	case idTokens:
		return same(clientID, realm, assertionHash)
	case refreshTokens: // good in every tenant, and for every scope that was consented to
		if a.field[familyID] != "" && same(familyID) {
			return same(assertionHash)
		}
		return same(familyID, clientID, assertionHash)
	default:
		return same(realm)
	}
}

// opaque reports an entry that is no object: it is kept, and used for nothing.
func (e *entry) opaque() bool { return !strings.HasPrefix(e.raw, "{") }

func sameTokenType(a, b *entry) bool {
	of := func(e *entry) string {
		if e.field[tokenType] == "" {
			return "Bearer"
		}
		return e.field[tokenType]
	}
	return strings.EqualFold(of(a), of(b))
}

func sameScopes(a, b []string) bool { return covers(a, b) && covers(b, a) }

// equal reports whether two entries say the same, whatever their white space.
func equal(a, b *entry) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.kind != b.kind || a.key != b.key {
		return false
	}
	return a.raw == b.raw || compact(a.raw) == compact(b.raw)
}

func compact(raw string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(raw)); err != nil {
		return raw
	}
	return b.String()
}

// number is a field that is a count of seconds.
func (e *entry) number(f field) int64 {
	s := e.field[f]
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && x > -1e15 && x < 1e15 {
		return int64(x)
	}
	return 0
}

func (e *entry) time(f field) time.Time {
	if n := e.number(f); n != 0 {
		return time.Unix(n, 0)
	}
	return time.Time{}
}

// stamp is when an entry was written, as far as can be told; own says that it
// says so itself. A refresh token came with an access token, whose stamp it
// takes where it has none (MSAL Go writes none), or where that is newer.
func (g group) stamp(e *entry) (at int64, own bool) {
	switch e.kind {
	case accessTokens:
		return e.number(cachedAt), true
	case accounts:
		return e.number(modifiedAt), true
	}
	if at = e.number(modifiedAt); at != 0 {
		return at, true
	}
	for _, t := range g {
		if t.kind == accessTokens && strings.EqualFold(t.field[clientID], e.field[clientID]) && sameEnvironment(t.field[environment], e.field[environment]) {
			at = max(at, t.number(cachedAt))
		}
	}
	return at, false
}

// newer returns the one of two entries of the same identity that was written
// later, b if that can't be told.
func newer(ga group, a *entry, gb group, b *entry) *entry {
	at, aOwn := ga.stamp(a)
	bt, bOwn := gb.stamp(b)
	switch {
	case at != bt:
		if at > bt {
			return a
		}
		return b
	case aOwn != bOwn: // the other's is borrowed from a token that may not be its own
		if aOwn {
			return a
		}
		return b
	case a.number(expiresOn) > b.number(expiresOn):
		return a
	case a.kind == accounts && a.field[username] != "" && b.field[username] == "":
		return a
	}
	return b
}

// collapse leaves one entry of each identity, the newest.
func (g group) collapse() group {
	for i := 0; i < len(g); i++ {
		for j := i + 1; j < len(g); j++ {
			if !sameIdentity(g[i], g[j]) {
				continue
			}
			winner := newer(g, g[i], g, g[j])
			g = slices.Delete(slices.Clone(g), j, j+1)
			g[i] = winner
			j--
		}
	}
	return g
}

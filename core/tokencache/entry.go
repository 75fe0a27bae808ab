package tokencache

import (
	"bytes"
	"cmp"
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

// field names a member of an entry that the package reads.
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
	aheadBy // ours: see AccessToken.At
	sentAt  // ours: see stamp
	extra   // ours: see TokenResponse.Extra
	credentialType
	keyID         // of a token that is bound to a key (proof of possession)
	cacheKey      // of a token that was asked for with more than scopes
	claimsHash    // of a token that was asked for with claims
	assertionHash // of a token obtained on behalf of another
	fields
)

var fieldNames = [fields]string{
	"home_account_id", "environment", "client_id", "realm", "target", "secret", "token_type", "cached_at",
	"expires_on", "refresh_on", "last_modification_time", "family_id", "username", "local_account_id",
	"authority_type", "account_source", "graphtoken_ahead", "graphtoken_sent", "graphtoken_extra", "credential_type", "key_id", "ext_cache_key", "requestedClaimsHash", "user_assertion_hash",
}

var fieldsByName = func() map[string]field {
	m := map[string]field{
		"keyid": keyID, "kid": keyID, // MSAL Go's name, and .NET's
		"ext_cache_key_hash":              cacheKey,      // MSAL Java's
		"additionalCacheKeyComponents":    cacheKey,      // MSAL Node's, an object
		"additional_cache_key_components": cacheKey,      // MSAL .NET's
		"requested_claims_hash":           claimsHash,    // MSAL Apple's
		"userAssertionHash":               assertionHash, // MSAL Node's
	}
	for f, name := range fieldNames {
		m[name] = field(f)
	}
	return m
}()

// entry is one entry of a section. It is immutable.
type entry struct {
	kind kind
	key  string // the entry's name in its section
	*content
}

// content is the text of an entry. An entry has a pointer to it because of package fmt: for
// a field that is not exported, and a verb that doesn't fit, fmt follows one pointer and
// prints the value there, and no method can prevent that.
type content struct {
	raw    string         // the JSON value
	field  [fields]string // strings and numbers; a null is ""
	scopes []string       // of target
}

func blankEntry(k kind, key string) *entry {
	both := new(struct {
		entry
		content
	})
	both.entry = entry{k, key, &both.content}
	return &both.entry
}

// opaqueEntry returns an entry of which nothing is read.
func opaqueEntry(key, raw string) *entry {
	e := blankEntry(kinds, key)
	e.raw = raw
	return e
}

// environments maps the hosts of each cloud to the one that stands for all of them:
// tokens are good at any.
// https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud and
// the aliases that instance discovery returns.
var environments = map[string]string{
	"login.windows.net":       "login.microsoftonline.com",
	"login.microsoft.com":     "login.microsoftonline.com",
	"sts.windows.net":         "login.microsoftonline.com",
	"login.chinacloudapi.cn":  "login.partner.microsoftonline.cn",
	"login.usgovcloudapi.net": "login.microsoftonline.us",
}

// publicCloud is Microsoft's public cloud. An entry without an environment belongs to it.
const publicCloud = "login.microsoftonline.com"

// cloud returns the host that stands for an environment, whatever alias and letter case
// the environment is written in. All comparisons of environments use it.
func cloud(host string) string {
	if host == "" || host == publicCloud { // nearly always
		return publicCloud
	}
	host = fold(host)
	if c, ok := environments[host]; ok {
		return c
	}
	return host
}

// owner returns the owner of the entry.
func (e *entry) owner() owner {
	return owner{fold(e.field[homeAccountID]), cloud(e.field[environment])}
}

// identity is the same for two entries of one user that mean the same token, whatever
// their keys are.
func (e *entry) identity() string {
	if e.opaque() {
		return e.place()
	}
	f := &e.field
	parts := []string{sectionNames[e.kind], cloud(f[environment])}
	if e.kind != accounts && e.kind != appMetadata {
		parts = append(parts, cmp.Or(f[credentialType], credentialTypes[e.kind]), f[assertionHash], f[keyID], f[cacheKey], f[claimsHash])
	}
	switch e.kind {
	case accessTokens:
		parts = append(parts, f[clientID], f[realm], cmp.Or(f[tokenType], "Bearer"))
		parts = append(parts, e.distinct()...)
	case idTokens:
		parts = append(parts, f[clientID], f[realm])
	case refreshTokens: // good in every tenant, and for every scope that was consented to
		if f[familyID] != "" {
			parts = append(parts, "family", f[familyID])
		} else {
			parts = append(parts, "client", f[clientID])
		}
	case accounts:
		parts = append(parts, f[realm])
	case appMetadata:
		if f[clientID] == "" {
			return e.place()
		}
		parts = append(parts, f[clientID])
	}
	return fold(strings.Join(parts, "\x00"))
}

// special reports a token that was issued for more than its client, tenant and scopes, or
// that can't be used alone. Other MSALs store tokens that are bound to a key, to the
// assertion of a user on whose behalf a service acts, to claims, or to parameters of a
// request (federated managed identities), beside plain ones. None of them is good for a
// query that asks for less.
func (e *entry) special() bool {
	f := &e.field
	return f[keyID] != "" || f[cacheKey] != "" || f[claimsHash] != "" || f[assertionHash] != "" ||
		f[credentialType] != "" && e.kind < kinds && !strings.EqualFold(f[credentialType], credentialTypes[e.kind])
}

// bound reports a token that is no plain bearer token. RFC 6750 is about plain ones
// alone; other types (pop, ssh-cert, mtls_pop, DPoP) need a key.
func (e *entry) bound() bool {
	return e.special() || e.kind == accessTokens && e.field[tokenType] != "" && !strings.EqualFold(e.field[tokenType], "Bearer")
}

// place is where the entry is; no other entry has the same place.
func (e *entry) place() string { return "\x00" + strconv.Itoa(int(e.kind)) + e.key }

func byKey(a, b *entry) int {
	if c := cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.key, b.key)); c != 0 {
		return c
	}
	return strings.Compare(a.raw, b.raw)
}

// opaque reports an entry that is no object. It is kept and not used.
func (e *entry) opaque() bool { return !strings.HasPrefix(e.raw, "{") }

// equal reports whether two entries have the same content, whatever their white space.
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

// detached returns an entry with the same fields that doesn't keep the document in memory
// from which e was read. Entries that leave the package may live longer than the
// document. The secret gets a piece of memory of its own, and all other fields share
// another: one piece for both would be rounded up by more.
func (e *entry) detached() *entry {
	size := 0
	for f, text := range e.field {
		if field(f) != secret {
			size += len(text)
		}
	}
	var all strings.Builder
	all.Grow(size)
	for f, text := range e.field {
		if field(f) != secret {
			all.WriteString(text)
		}
	}
	d, rest := blankEntry(e.kind, ""), all.String()
	for f, text := range e.field {
		if field(f) != secret {
			d.field[f], rest = rest[:len(text)], rest[len(text):]
		}
	}
	d.field[secret] = strings.Clone(e.field[secret])
	d.scopes = splitScopes(d.field[target])
	return d
}

// number returns a field that is a count of seconds.
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

// endOfTime is the last second that time.Time can write as JSON.
const endOfTime = 253402300799

func (e *entry) time(f field) time.Time {
	if n := e.number(f); n > 0 {
		return time.Unix(min(n, endOfTime), 0)
	}
	return time.Time{}
}

// collapse makes a group of entries, which may be in any order. Of each identity it keeps
// the newest. It works in place.
func (g group) collapse() group {
	slices.SortFunc(g, byKey) // maps have no order, and ties must not be left to chance
	crowded := false
	for i := 1; i < len(g) && !crowded; i++ {
		crowded = g[i].kind == g[i-1].kind
	}
	if !crowded {
		return g
	}
	best := make(map[string]*entry, len(g))
	stamps := &stamps{g: g}
	for _, e := range g {
		id := e.identity()
		if rival, ok := best[id]; ok {
			e = newer(stamps, rival, stamps, e)
		}
		best[id] = e
	}
	if len(best) == len(g) {
		return g
	}
	kept := make(map[*entry]bool, len(best))
	for _, e := range best {
		kept[e] = true
	}
	return slices.DeleteFunc(g, func(e *entry) bool { return !kept[e] })
}

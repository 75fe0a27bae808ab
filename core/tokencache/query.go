package tokencache

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Query says whose token is meant. Fields left empty fit everything.
type Query struct {
	// Username and HomeAccountID name the user. With neither, the query fits
	// if one user is signed in, and is ambiguous if several are.
	Username, HomeAccountID string
	ClientID                string
	// Environment is the identity provider: the host of the authority, or any
	// alias that Microsoft has for it ("login.windows.net" is
	// "login.microsoftonline.com"). With none, the query fits if the record has
	// tokens of one provider, and is ambiguous if it has those of several.
	Environment string
	// Tenant is the realm that the token is filed under: the tenant segment of
	// the authority at sign-in, "common" for one, and not what it resolves to.
	Tenant string
	// Scopes must all be in an access token. "User.Read" and
	// "https://graph.microsoft.com/User.Read" are the same; openid, profile,
	// email and offline_access are not looked for, because not every answer
	// lists them.
	Scopes []string
	// App asks for a token of the application itself (client credentials)
	// instead of a user's.
	App bool
}

// Account is a signed-in user.
type Account struct {
	HomeAccountID  string // "<uid>.<utid>"
	Environment    string // the host of the authority
	Realm          string // its tenant segment
	LocalAccountID string // the object ID in the tenant
	Username       string
	AuthorityType  string // "MSSTS", "ADFS"
}

// AccessToken is an access token and what is known of it. Times are in whole
// seconds; a zero time is not known.
type AccessToken struct {
	Secret                                                 Secret
	ExpiresOn, CachedAt, RefreshOn                         time.Time
	Scopes                                                 []string // shared: read only
	HomeAccountID, ClientID, Realm, Environment, TokenType string
}

// RefreshToken is a refresh token. Its scopes are those of the request it came
// with; it is good for all that the user consented to.
type RefreshToken struct {
	Secret                                         Secret
	Scopes                                         []string // shared: read only
	HomeAccountID, ClientID, Environment, FamilyID string
	LastModified                                   time.Time
}

// IDToken is an id token, as it came. Nothing here verified it.
type IDToken struct {
	Secret                                      Secret
	HomeAccountID, ClientID, Realm, Environment string
}

// Accounts returns the signed-in users, by name.
func (c *Cache) Accounts() []Account {
	var found []Account
	for _, g := range c.groups {
		for _, e := range g {
			if e.kind == accounts && !e.opaque() {
				found = append(found, e.account())
			}
		}
	}
	slices.SortFunc(found, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Username, b.Username), cmp.Compare(a.HomeAccountID, b.HomeAccountID), cmp.Compare(a.Realm, b.Realm))
	})
	return found
}

// Account returns the user the query fits.
func (c *Cache) Account(q Query) (Account, bool) {
	if q.App {
		return Account{}, false
	}
	_, g := c.find(q)
	for _, e := range g {
		if e.kind == accounts && !e.opaque() && fits(q.Tenant, e.field[realm]) {
			return e.account(), true
		}
	}
	return Account{}, false
}

// AccessToken returns the access token that has the wanted scopes and expires
// last, whether or not it has expired.
func (c *Cache) AccessToken(q Query) (AccessToken, bool) {
	_, g := c.find(q)
	var best *entry
	for _, e := range g {
		if e.isAccessToken(q) && (best == nil || e.number(expiresOn) > best.number(expiresOn)) {
			best = e
		}
	}
	if best == nil {
		return AccessToken{}, false
	}
	best = best.detached()
	return AccessToken{
		Secret:        Secret(best.field[secret]),
		ExpiresOn:     best.time(expiresOn),
		CachedAt:      best.time(cachedAt),
		RefreshOn:     best.time(refreshOn),
		Scopes:        best.scopes,
		HomeAccountID: best.field[homeAccountID],
		ClientID:      best.field[clientID],
		Realm:         best.field[realm],
		Environment:   best.field[environment],
		TokenType:     best.field[tokenType],
	}, true
}

// RefreshToken returns the user's refresh token: the client's own, or else that
// of a family of clients, which serves all of them.
func (c *Cache) RefreshToken(q Query) (RefreshToken, bool) {
	if q.App {
		return RefreshToken{}, false
	}
	_, g := c.find(q)
	var best *entry
	for _, e := range g {
		if e.kind != refreshTokens || e.field[secret] == "" {
			continue
		}
		own := fits(q.ClientID, e.field[clientID])
		if own || e.field[familyID] != "" && best == nil {
			best = e
		}
		if own {
			break
		}
	}
	if best == nil {
		return RefreshToken{}, false
	}
	best = best.detached()
	return RefreshToken{
		Secret:        Secret(best.field[secret]),
		Scopes:        best.scopes,
		HomeAccountID: best.field[homeAccountID],
		ClientID:      best.field[clientID],
		Environment:   best.field[environment],
		FamilyID:      best.field[familyID],
		LastModified:  best.time(modifiedAt),
	}, true
}

// IDToken returns the user's id token.
func (c *Cache) IDToken(q Query) (IDToken, bool) {
	if q.App {
		return IDToken{}, false
	}
	_, g := c.find(q)
	for _, e := range g {
		if e.kind == idTokens && e.field[secret] != "" && fits(q.ClientID, e.field[clientID]) && fits(q.Tenant, e.field[realm]) {
			e = e.detached()
			return IDToken{
				Secret:        Secret(e.field[secret]),
				HomeAccountID: e.field[homeAccountID],
				ClientID:      e.field[clientID],
				Realm:         e.field[realm],
				Environment:   e.field[environment],
			}, true
		}
	}
	return IDToken{}, false
}

// Expired reports whether there is no access token for q that is valid at now.
func (c *Cache) Expired(q Query, now time.Time) bool {
	at, ok := c.AccessToken(q)
	return !ok || !now.Before(at.ExpiresOn)
}

// LongLived reports whether there is a refresh token for q.
func (c *Cache) LongLived(q Query) bool {
	_, ok := c.RefreshToken(q)
	return ok
}

// Ambiguous reports whether q leaves open which of several users is meant. All
// other methods then find nothing.
func (c *Cache) Ambiguous(q Query) bool {
	_, second := c.candidates(q)
	return second != ""
}

// DropAccessToken removes the access tokens that fit q, and reports whether
// there were any.
func (c *Cache) DropAccessToken(q Query) bool {
	home, g := c.find(q)
	kept := slices.DeleteFunc(slices.Clone(g), func(e *entry) bool { return e.isAccessToken(q) })
	if len(kept) == len(g) {
		return false
	}
	c.setGroup(home, kept)
	return true
}

// Remove removes all tokens and the account of the user that q names, for
// every client, and reports whether there was anything. With App it removes the
// application's access tokens that fit.
func (c *Cache) Remove(q Query) bool {
	if q.App {
		q.Scopes = nil
		return c.DropAccessToken(q)
	}
	home, g := c.find(q)
	if len(g) == 0 {
		return false
	}
	c.setGroup(home, nil)
	return true
}

// find returns the one user's group that q fits, or nothing.
func (c *Cache) find(q Query) (home string, g group) {
	if q.App {
		return "", c.groups[""]
	}
	home, second := c.candidates(q)
	if home == "" || second != "" {
		return "", nil
	}
	return home, c.groups[home]
}

// candidates returns the user that q fits, and a second one if there is. Only a
// query that names nobody has to look through all of them.
func (c *Cache) candidates(q Query) (first, second string) {
	switch {
	case q.App:
		return "", ""
	case q.HomeAccountID != "":
		home := fold(q.HomeAccountID)
		if g, ok := c.groups[home]; ok && (q.Username == "" || g.isNamed(fold(q.Username))) {
			return home, ""
		}
		return "", ""
	case q.Username != "":
		homes := c.named[fold(q.Username)]
		if len(homes) == 1 {
			return homes[0], ""
		}
		return q.firstTwo(c, slices.Values(homes))
	}
	return q.firstTwo(c, maps.Keys(c.groups))
}

func (q Query) firstTwo(c *Cache, homes iter.Seq[string]) (first, second string) {
	for home := range homes {
		switch {
		case home == "" || !c.groups[home].fits(q):
		case first == "":
			first = home
		default:
			return first, home
		}
	}
	return first, ""
}

func (g group) isNamed(name string) bool {
	return slices.ContainsFunc(g, func(e *entry) bool { return e.kind == accounts && fold(e.field[username]) == name })
}

// fits reports whether the group has anything of q's client and tenant.
func (g group) fits(q Query) bool {
	for _, e := range g {
		if (q.ClientID == "" || e.kind != accounts && strings.EqualFold(q.ClientID, e.field[clientID])) &&
			(e.kind == refreshTokens || fits(q.Tenant, e.field[realm])) {
			return true
		}
	}
	return false
}

// bound reports a token that needs more than itself to be used, or was given
// for more than its scopes.
func (e *entry) bound() bool { return e.field[keyID] != "" || e.field[cacheKey] != "" }

func (e *entry) isAccessToken(q Query) bool {
	return e.kind == accessTokens && e.field[secret] != "" && !e.bound() &&
		fits(q.ClientID, e.field[clientID]) && fits(q.Tenant, e.field[realm]) && covers(e.scopes, q.Scopes)
}

func (e *entry) account() Account {
	e = e.detached()
	return Account{
		HomeAccountID:  e.field[homeAccountID],
		Environment:    e.field[environment],
		Realm:          e.field[realm],
		LocalAccountID: e.field[localAccountID],
		Username:       e.field[username],
		AuthorityType:  e.field[authorityType],
	}
}

// fits compares what a query wants, if anything, with what there is.
func fits(want, have string) bool {
	return want == "" || strings.EqualFold(want, have)
}

// graphScope begins scopes of Microsoft Graph where they are written out; a
// scope without a resource means Graph.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc
const graphScope = "https://graph.microsoft.com/"

// covers reports whether have includes all of want.
func covers(have, want []string) bool {
	for _, w := range want {
		w = bareScope(w)
		if isReserved(w) {
			continue
		}
		if !slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(bareScope(h), w) }) {
			return false
		}
	}
	return true
}

func bareScope(s string) string {
	if len(s) > len(graphScope) && strings.EqualFold(s[:len(graphScope)], graphScope) {
		return s[len(graphScope):]
	}
	return s
}

// distinct are the scopes that tell access tokens apart, in order.
func distinct(scopes []string) []string {
	var names []string
	for _, s := range scopes {
		if s = fold(bareScope(s)); !isReserved(s) {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func isReserved(scope string) bool {
	return strings.EqualFold(scope, "openid") || strings.EqualFold(scope, "profile") ||
		strings.EqualFold(scope, "offline_access") || strings.EqualFold(scope, "email")
}

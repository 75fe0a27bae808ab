package tokencache

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Query says which token is wanted. An empty field fits everything.
type Query struct {
	// Username and HomeAccountID name the user. Without both, the query fits if one user
	// is signed in, and is ambiguous if several are.
	Username, HomeAccountID string
	ClientID                string
	// Environment is the identity provider: the host of the authority, or any alias that
	// Microsoft has for it ("login.windows.net" is "login.microsoftonline.com"). Without
	// it, the query fits if the record has tokens of one provider, and is ambiguous if it
	// has tokens of several.
	Environment string
	// Tenant is the realm of the token: the tenant segment of the authority at sign-in,
	// for example "common", and not the tenant's ID. Without it, a user who is a guest in
	// other tenants has the tokens of the home tenant. Its ID is the second part of the
	// home account ID; "common", "organizations" and "consumers" mean the home tenant
	// too. If there is nothing of the home tenant, a guest's tokens fit.
	Tenant string
	// Scopes must all be in the access token. A text with several scopes is split, see
	// SplitScopes. "User.Read" and "https://graph.microsoft.com/User.Read" are the same,
	// and so are the other names of Microsoft Graph in the token's cloud. openid,
	// profile, email and offline_access are ignored, because not every answer lists them.
	// "<resource>/.default" fits every token of that resource, whatever its other scopes
	// are, and ".default" alone means Graph.
	Scopes []string
	// App asks for a token of the application itself (client credentials) instead of a
	// user's.
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

// AccessToken is an access token and what is known of it. Times are in whole seconds; a
// zero time is unknown.
type AccessToken struct {
	Secret                                                 Secret
	ExpiresOn, CachedAt, RefreshOn                         time.Time
	Scopes                                                 []string // shared: read only
	HomeAccountID, ClientID, Realm, Environment, TokenType string
	Extra                                                  Secret // see TokenResponse.Extra

	ahead time.Duration // see At
}

// RefreshToken is a refresh token. Its scopes are those of the request that obtained it;
// it is good for everything to which the user has consented.
type RefreshToken struct {
	Secret                                         Secret
	Scopes                                         []string // shared: read only
	HomeAccountID, ClientID, Environment, FamilyID string
	LastModified                                   time.Time
}

// IDToken is an ID token as the provider sent it. It is not verified here.
type IDToken struct {
	Secret                                      Secret
	HomeAccountID, ClientID, Realm, Environment string
}

// Accounts returns the users who are signed in, by name.
func (c *Cache) Accounts() []Account {
	var found []Account
	for _, g := range c.in().groups {
		for _, e := range g {
			if e.kind == accounts && !e.opaque() {
				found = append(found, e.account())
			}
		}
	}
	slices.SortFunc(found, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Username, b.Username), cmp.Compare(a.HomeAccountID, b.HomeAccountID), cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Realm, b.Realm))
	})
	return found
}

// Account returns the user that the query fits, in the query's tenant. If the query names
// no tenant and the user has accounts in several, it is the account of the home tenant;
// see Query.Tenant.
func (c *Cache) Account(q Query) (Account, bool) {
	if q.App {
		return Account{}, false
	}
	_, g := c.find(q)
	t := tenants{g: g}
	if e := t.account(q); e != nil {
		return e.account(), true
	}
	return Account{}, false
}

// AccessToken returns the newest access token that has the wanted scopes, whether or
// not it has expired. It is a bearer token: a token that is bound to a key, an
// assertion or claims is never returned.
func (c *Cache) AccessToken(q Query) (AccessToken, bool) {
	_, g := c.find(q)
	q.Scopes = splitScopes(q.Scopes...)
	var best *entry
	var ahead int64
	tenants := g.tenants(q)
	for _, e := range g {
		if e.kind == accessTokens && e.field[aheadBy] != "" {
			ahead = max(ahead, e.number(aheadBy))
		}
		if e.isAccessToken(q) && tenants.include(e) && (best == nil || tenants.prefer(e, best)) {
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
		Extra:         Secret(best.field[extra]),
		ahead:         seconds(ahead),
	}, true
}

// RefreshToken returns the user's refresh token: the client's own, or else that of a
// family of clients, which serves all of them. If the client is a member of the family,
// it returns the later of the two, and the family's if their order is unknown.
func (c *Cache) RefreshToken(q Query) (RefreshToken, bool) {
	if q.App {
		return RefreshToken{}, false
	}
	_, g := c.find(q)
	best := c.refreshToken(q, g)
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

// refreshToken returns the refresh token of g that q has to send. A family member's own
// token was spent when the client joined the family, unless it is the later one; MSAL Go,
// too, takes the family's first then (storage.Manager.readRefreshToken). Any other
// client's own token comes before a family's, and so does the token of a single client if
// the query names no client.
func (c *Cache) refreshToken(q Query, g group) *entry {
	var own, family *entry
	for _, e := range g {
		switch {
		case e.kind != refreshTokens || e.field[secret] == "" || e.bound():
		case e.field[familyID] == "" && fitsClient(q.ClientID, e):
			if own == nil {
				own = e
			}
		case e.field[familyID] != "" && (family == nil || !fitsClient(q.ClientID, family) && fitsClient(q.ClientID, e)):
			family = e
		}
	}
	switch {
	case own == nil:
		return family
	case family == nil || q.ClientID == "" || !c.isMember(q.ClientID, family):
		return own
	}
	s := &stamps{g: g}
	return newer(s, own, s, family)
}

// isMember reports whether a client is a member of the family to which a refresh token
// belongs: its metadata says so or, if it has none, the token was the client's once.
func (c *Cache) isMember(client string, of *entry) bool {
	for _, app := range c.in().apps {
		if sameClient(client, app.field[clientID]) && cloud(app.field[environment]) == cloud(of.field[environment]) {
			return app.field[familyID] == of.field[familyID]
		}
	}
	return sameClient(client, of.field[clientID])
}

// IDToken returns the user's ID token, of the tenant that Account has.
func (c *Cache) IDToken(q Query) (IDToken, bool) {
	if q.App {
		return IDToken{}, false
	}
	_, g := c.find(q)
	tenants := g.tenants(q)
	var best *entry
	for _, e := range g {
		if e.kind == idTokens && e.field[secret] != "" && !e.bound() && fitsClient(q.ClientID, e) && fits(q.Tenant, e.field[realm]) &&
			tenants.include(e) && (best == nil || tenants.prefer(e, best)) {
			best = e
		}
	}
	if best == nil {
		return IDToken{}, false
	}
	best = best.detached()
	return IDToken{
		Secret:        Secret(best.field[secret]),
		HomeAccountID: best.field[homeAccountID],
		ClientID:      best.field[clientID],
		Realm:         best.field[realm],
		Environment:   best.field[environment],
	}, true
}

// Expired reports whether there is no access token for q that is valid at now.
func (c *Cache) Expired(q Query, now time.Time) bool {
	at, ok := c.AccessToken(q)
	if ok {
		at, ok = at.At(now)
	}
	return !ok || !now.Before(at.ExpiresOn)
}

// LongLived reports whether there is a refresh token for q.
func (c *Cache) LongLived(q Query) bool {
	_, ok := c.RefreshToken(q)
	return ok
}

// Ambiguous reports whether q doesn't decide between several users, or between several
// identity providers. Users of two providers are two users, even with the same name and
// ID; and so are an application's tokens of two providers. All other methods then find
// nothing.
func (c *Cache) Ambiguous(q Query) bool {
	_, several := c.candidate(q)
	return several
}

// DropAccessToken removes the access tokens that fit q, and reports whether
// there were any.
func (c *Cache) DropAccessToken(q Query) bool {
	of, g := c.find(q)
	q.Scopes = splitScopes(q.Scopes...)
	tenants := g.tenants(q)
	return c.drop(of, func(e *entry) bool { return e.isAccessToken(q) && tenants.include(e) })
}

// DropSecret removes every access token that is s, of any user, and reports whether there
// was one. Package core drops a token that a resource refused, together with the refresh
// that replaces it. So no query gets the refused token again: not a query for other scopes,
// and not because it lives longer than the new one.
func (c *Cache) DropSecret(s Secret) bool {
	dropped := false
	for of, g := range c.in().groups {
		if s != "" && slices.ContainsFunc(g, func(e *entry) bool { return e.isSecret(s) }) {
			dropped = c.drop(of, func(e *entry) bool { return e.isSecret(s) }) || dropped
		}
	}
	return dropped
}

func (e *entry) isSecret(s Secret) bool {
	return e.kind == accessTokens && e.field[secret] == string(s)
}

// drop removes an owner's unwanted entries.
func (c *Cache) drop(of owner, unwanted func(*entry) bool) bool {
	g := c.in().groups[of]
	kept := slices.DeleteFunc(slices.Clone(g), unwanted)
	if len(kept) == len(g) {
		return false
	}
	c.setGroup(of, kept)
	return true
}

// Remove removes all tokens and the account of the user that q names, for every client,
// and reports whether there was anything. With App it removes the application's access
// tokens that fit.
func (c *Cache) Remove(q Query) bool {
	if q.App {
		q.Scopes = nil
		return c.DropAccessToken(q)
	}
	of, g := c.find(q)
	if len(g) == 0 {
		return false
	}
	c.setGroup(of, nil)
	return true
}

// find returns the one group that q fits, or nothing.
func (c *Cache) find(q Query) (owner, group) {
	of, several := c.candidate(q)
	if several {
		return owner{}, nil
	}
	return of, c.in().groups[of]
}

// candidate returns the owner that q fits, and whether there are several. An owner that
// is named, and is the only one of that name, need not have the wanted token.
func (c *Cache) candidate(q Query) (owner, bool) {
	if q.App || q.HomeAccountID != "" {
		home := fold(q.HomeAccountID)
		if q.App {
			home = ""
		}
		if q.Environment != "" {
			return q.onlyOne(c, owner{home, cloud(q.Environment)})
		}
		if len(c.in().clouds) == 1 { // nearly always
			for cloud := range c.in().clouds {
				return q.onlyOne(c, owner{home, cloud})
			}
		}
		return q.only(c, c.providers(home))
	}
	if q.Username != "" {
		named := c.in().named[fold(q.Username)]
		if named == nil || named.next == nil {
			return q.onlyOne(c, named.first())
		}
		return q.only(c, named.all())
	}
	return q.onlyOf(c, maps.Keys(c.in().groups))
}

// providers returns the owners with one home account ID.
func (c *Cache) providers(home string) iter.Seq[owner] {
	return func(yield func(owner) bool) {
		for cloud := range c.in().clouds {
			if !yield(owner{home, cloud}) {
				return
			}
		}
	}
}

// onlyOne is the method only, if there is one owner to choose from.
func (q Query) onlyOne(c *Cache, of owner) (owner, bool) {
	if q.means(c, of) {
		return of, false
	}
	return owner{}, false
}

func (n *namesakes) first() owner {
	if n == nil {
		return owner{}
	}
	return n.owner
}

// all returns the owners of the list, in which an owner may occur twice.
func (n *namesakes) all() iter.Seq[owner] {
	return func(yield func(owner) bool) {
		for one := n; one != nil && yield(one.owner); one = one.next {
		}
	}
}

// only returns the owner that q means. If there is no choice, the owner need not have
// anything of q's client and tenant.
func (q Query) only(c *Cache, owners iter.Seq[owner]) (owner, bool) {
	if one, several := single(owners, func(of owner) bool { return q.means(c, of) }); !several {
		return one, false
	}
	return q.onlyOf(c, owners)
}

// onlyOf returns the one of some owners that has something of q's client and tenant.
func (q Query) onlyOf(c *Cache, owners iter.Seq[owner]) (owner, bool) {
	return single(owners, func(of owner) bool { return q.means(c, of) && c.in().groups[of].fits(q) })
}

// single returns the owner for which right is true, unless there are several.
func single(owners iter.Seq[owner], right func(owner) bool) (one owner, several bool) {
	found := false
	for of := range owners {
		if found && of == one || !right(of) {
			continue
		}
		if found {
			return owner{}, true
		}
		one, found = of, true
	}
	return one, false
}

// means reports whether the owner exists and has the provider and the name that q names.
func (q Query) means(c *Cache, of owner) bool {
	g, there := c.in().groups[of]
	return there && (of.home == "") == q.App && (q.Environment == "" || of.cloud == cloud(q.Environment)) &&
		(q.App || q.Username == "" || g.isNamed(fold(q.Username)))
}

func (g group) isNamed(name string) bool {
	return slices.ContainsFunc(g, func(e *entry) bool { return e.kind == accounts && fold(e.field[username]) == name })
}

// fits reports whether the group has anything of q's client and tenant.
func (g group) fits(q Query) bool {
	for _, e := range g {
		if (q.ClientID == "" || e.kind != accounts && fitsClient(q.ClientID, e)) &&
			(e.kind == refreshTokens || fits(q.Tenant, e.field[realm])) {
			return true
		}
	}
	return false
}

func (e *entry) isAccessToken(q Query) bool {
	return e.kind == accessTokens && e.field[secret] != "" && !e.bound() &&
		fitsClient(q.ClientID, e) && fits(q.Tenant, e.field[realm]) && answers(e, q.Scopes)
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

// fits compares the wanted value, if there is one, with the actual one.
func fits(want, have string) bool {
	return want == "" || strings.EqualFold(want, have)
}

func fitsClient(want string, e *entry) bool { return want == "" || sameClient(want, e.field[clientID]) }

// sameClient reports whether two client IDs are the same, in any letter case.
func sameClient(a, b string) bool { return strings.EqualFold(a, b) }

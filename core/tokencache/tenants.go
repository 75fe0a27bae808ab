package tokencache

import "strings"

// tenants tells which tenants' tokens a query means. A user who is a guest in a tenant
// has tokens of several, and the home tenant's must not be confused with a guest's.
type tenants struct {
	g         group
	named     bool            // the query names a tenant; nothing else is compared
	known     bool            // the two below
	local     string          // the user's object ID in the home tenant
	home      string          // the home tenant's ID
	sameLocal map[string]bool // realms, folded, where the user's object ID is the home tenant's
	realm     string          // of the account that the query means, if there is one
	rank      rank            // of that realm, or of the best there is
}

// rank tells how certain it is that a realm is the user's home tenant; less is more
// certain.
type rank uint8

const (
	atHome    rank = iota // the home tenant's ID, or a name for whatever tenant is home
	seemsHome             // the user has the same object ID there: a domain of the home tenant
	elsewhere
)

// tenants decides by the accounts, because a refresh goes to the account's tenant: a
// token of a tenant that is never refreshed must not come first.
func (g group) tenants(q Query) tenants {
	t := tenants{g: g, named: q.Tenant != "" || q.App}
	if t.named {
		return t
	}
	if a := t.account(q); a != nil {
		t.realm, t.rank = a.field[realm], t.rankOf(a)
		return t
	}
	t.rank = elsewhere
	for _, e := range g {
		if (e.kind == accessTokens || e.kind == idTokens) && fitsClient(q.ClientID, e) {
			t.rank = min(t.rank, t.rankOf(e))
		}
	}
	return t
}

// account is the account in the query's tenant, or else the one at home, of those tenants
// where the query's client has signed the user in.
func (t *tenants) account(q Query) *entry {
	var best, bestOfClient *entry
	var signedInAt map[string]bool // realms, folded
	for _, e := range t.g {
		if e.kind != accounts || e.opaque() || !fits(q.Tenant, e.field[realm]) {
			continue
		}
		if best == nil {
			best = e
			continue
		}
		if signedInAt == nil {
			signedInAt = t.g.idTokenRealms(q.ClientID)
			if signedInAt[fold(best.field[realm])] {
				bestOfClient = best
			}
		}
		if t.rankOf(e) < t.rankOf(best) {
			best = e
		}
		if signedInAt[fold(e.field[realm])] && (bestOfClient == nil || t.rankOf(e) < t.rankOf(bestOfClient)) {
			bestOfClient = e
		}
	}
	if bestOfClient != nil {
		return bestOfClient
	}
	return best
}

// idTokenRealms returns the realms, in lower case, in which a client, if one is named,
// has signed the user in. Access tokens don't tell that: they are dropped when they are
// refused.
func (g group) idTokenRealms(client string) map[string]bool {
	realms := make(map[string]bool)
	for _, e := range g {
		if client != "" && e.kind == idTokens && sameClient(client, e.field[clientID]) {
			realms[fold(e.field[realm])] = true
		}
	}
	return realms
}

func (t *tenants) rankOf(e *entry) rank {
	of := fold(e.field[realm])
	switch of {
	case "common", "organizations", "consumers", "":
		// https://learn.microsoft.com/entra/identity-platform/msal-client-application-configuration#authority
		return atHome
	}
	if !t.known {
		t.local, t.home, _ = strings.Cut(fold(e.field[homeAccountID]), ".")
		t.known = true
	}
	switch {
	case of == t.home:
		return atHome
	case t.sameLocal == nil:
		t.sameLocal = make(map[string]bool)
		for _, a := range t.g {
			if a.kind == accounts && t.local != "" && strings.EqualFold(a.field[localAccountID], t.local) {
				t.sameLocal[fold(a.field[realm])] = true
			}
		}
	}
	if t.sameLocal[of] {
		return seemsHome
	}
	return elsewhere
}

// include reports whether a token is one of those that the query means.
func (t *tenants) include(e *entry) bool {
	return t.named || t.rankOf(e) <= t.rank
}

// prefer reports whether token a comes before token b. If neither is of the home tenant,
// the account's tenant comes first, and then the newest token: what the user agreed to
// since an older one was issued is not in that one, whatever it is called and however
// long it lives. Microsoft's lifetimes are random, from 60 to 90 minutes.
// https://learn.microsoft.com/entra/identity-platform/access-tokens#token-lifetime
func (t *tenants) prefer(a, b *entry) bool {
	if t.rank == elsewhere && t.realm != "" {
		if x, y := strings.EqualFold(a.field[realm], t.realm), strings.EqualFold(b.field[realm], t.realm); x != y {
			return x
		}
	}
	if x, y := a.number(cachedAt), b.number(cachedAt); x != y {
		return x > y
	}
	return a.number(expiresOn) > b.number(expiresOn)
}

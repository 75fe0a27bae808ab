package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// query returns whom the flags mean in a token cache, for a command that asks the
// provider: without --authority, Microsoft's public cloud.
func (s *session) query() tokencache.Query {
	q := s.named()
	q.Environment = cmp.Or(q.Environment, publicCloud)
	return q
}

// query is session.query, at the provider that the record has named.
func (o *opened) query() tokencache.Query {
	q := o.session.query()
	if host, _ := split(o.config.Authority); host != "" {
		q.Environment = host
	}
	return q
}

// environmentIn returns the provider that q means in a record: the one that is named;
// Microsoft's public cloud, if the record has something of it, or several others; or the
// only one of the record.
func environmentIn(c *tokencache.Cache, q tokencache.Query) string {
	if q.Environment != "" {
		return q.Environment
	}
	q.Tenant = "" // a user of one tenant may be refreshed in another
	hosts := distinct(fitting(c, q), environmentOf)
	if q.App || len(c.Accounts()) == 0 {
		own := slices.DeleteFunc(holders(c), func(h holder) bool { return h.HomeAccountID != "" || !fits(q.ClientID, h.ClientID) })
		hosts = distinct(own, func(h holder) string { return h.Environment })
	}
	if len(hosts) != 1 || msal.SameProvider(hosts[0], publicCloud) {
		return publicCloud
	}
	return hosts[0]
}

// named returns what the flags name, without defaults.
func (s *session) named() tokencache.Query {
	q := tokencache.Query{Username: s.User, ClientID: s.ClientID, App: s.ClientCredentials}
	q.Environment, q.Tenant = split(s.Authority)
	q.Tenant = cmp.Or(s.Tenant, q.Tenant)
	if isAnyTenant(q.Tenant) {
		q.Tenant = ""
	}
	return q
}

// whom describes the user that q means.
func whom(q tokencache.Query) string {
	who := cmp.Or(q.Username, "anybody")
	if q.App {
		who = "the application"
	}
	for _, limit := range []struct{ by, value string }{
		{" with the client ID ", q.ClientID}, {" in the tenant ", q.Tenant}, {" at ", q.Environment},
	} {
		if limit.value != "" {
			who += limit.by + limit.value
		}
	}
	return who
}

// split returns the host and the tenant of an authority, if they are there.
func split(authority string) (environment, tenant string) {
	u, err := url.Parse(authority)
	if err != nil {
		return "", "" // account.New reports the error
	}
	tenant, _, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	return strings.ToLower(u.Host), tenant
}

// isAnyTenant reports whether tenant is a word for the user's own tenant.
func isAnyTenant(tenant string) bool {
	return slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(tenant))
}

// fitting returns the users that q's name, provider and tenant mean; none if q means an
// application.
func fitting(c *tokencache.Cache, q tokencache.Query) []tokencache.Account {
	if q.App {
		return nil
	}
	return slices.DeleteFunc(c.Accounts(), func(a tokencache.Account) bool {
		its, there := c.Account(tokencache.Query{HomeAccountID: a.HomeAccountID, Environment: cmp.Or(q.Environment, a.Environment), Tenant: a.Realm})
		return !there || its.Environment != a.Environment ||
			q.Username != "" && !strings.EqualFold(q.Username, a.Username) || !inTenant(a, q.Tenant)
	})
}

// inTenant reports whether the user's account is in this tenant. An account that signed
// in through "common" and the like is in its home tenant, the second part of its ID.
func inTenant(a tokencache.Account, tenant string) bool {
	_, home, _ := strings.Cut(a.HomeAccountID, ".")
	return tenant == "" || strings.EqualFold(tenant, a.Realm) || isAnyTenant(a.Realm) && strings.EqualFold(tenant, home)
}

// holder is the owner of a token.
type holder struct {
	HomeAccountID string `json:"home_account_id"` // empty: the application's own
	ClientID      string `json:"client_id"`
	Environment   string `json:"environment"`
	Realm         string `json:"realm"` // refresh tokens have none
}

// isOneOf reports whether the tokens belong to one of these users. Tokens and account may
// name the provider by two of its aliases.
func (h holder) isOneOf(c *tokencache.Cache, users []tokencache.Account) bool {
	a, ok := c.Account(tokencache.Query{HomeAccountID: h.HomeAccountID, Environment: h.Environment})
	return ok && h.HomeAccountID != "" && slices.ContainsFunc(users, func(u tokencache.Account) bool {
		return u.HomeAccountID == a.HomeAccountID && u.Environment == a.Environment
	})
}

// holders returns the owners of the tokens in the record, each once and in order.
func holders(c *tokencache.Cache) []holder {
	data, err := c.Marshal()
	if err != nil {
		return nil
	}
	var sections struct {
		AccessToken, RefreshToken map[string]json.RawMessage
		IDToken                   map[string]json.RawMessage `json:"IdToken"`
	}
	if json.Unmarshal(data, &sections) != nil {
		return nil // a section is null, or has another form
	}
	var all []holder
	for _, section := range []map[string]json.RawMessage{sections.AccessToken, sections.RefreshToken, sections.IDToken} {
		for _, raw := range section {
			var h holder
			if json.Unmarshal(raw, &h) == nil && h.ClientID != "" {
				all = append(all, h)
			}
		}
	}
	slices.SortFunc(all, func(a, b holder) int {
		return cmp.Or(cmp.Compare(a.HomeAccountID, b.HomeAccountID), cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Realm, b.Realm))
	})
	return slices.Compact(all)
}

// distinct returns the results of get for the elements, each once, whatever its case.
func distinct[E any](elements []E, get func(E) string) []string {
	var found []string
	for _, e := range elements {
		if text := get(e); text != "" && !slices.ContainsFunc(found, func(f string) bool { return strings.EqualFold(f, text) }) {
			found = append(found, text)
		}
	}
	return found
}

func nameOf(a tokencache.Account) string        { return cmp.Or(a.Username, a.HomeAccountID) }
func environmentOf(a tokencache.Account) string { return a.Environment }
func clientOf(h holder) string                  { return h.ClientID }

// ambiguousError is core.ErrAmbiguous with the choices, and the flags that choose.
type ambiguousError struct{ choices, flags []string }

func (e *ambiguousError) Error() string {
	return core.ErrAmbiguous.Error() + ": " + strings.Join(e.choices, ", ")
}

func (e *ambiguousError) Unwrap() error { return core.ErrAmbiguous }

// advice implements advisor.
func (e *ambiguousError) advice() string {
	return "Choose with " + strings.Join(e.flags, " and ") + "; " + statusShows
}

// errOtherUsers and errOtherProviders come with core.ErrNotFound, and say who is signed in
// instead: other users, or the user at other providers.
var errOtherUsers, errOtherProviders = errors.New("signed in"), errors.New("signed in at")

// ambiguous returns the choices that q leaves open.
func ambiguous(c *tokencache.Cache, q tokencache.Query) error {
	var (
		e         = &ambiguousError{}
		names     []string
		providers []string
	)
	if q.App {
		own := slices.DeleteFunc(holders(c), func(h holder) bool { return h.HomeAccountID != "" })
		providers = distinct(own, func(h holder) string { return h.Environment })
	} else {
		users := fitting(c, q)
		names, providers = distinct(users, nameOf), distinct(users, environmentOf)
	}
	if len(names) > 1 {
		e.choices, e.flags = append(e.choices, names...), append(e.flags, "--user")
	}
	if len(providers) > 1 {
		e.choices, e.flags = append(e.choices, providers...), append(e.flags, "--authority")
	}
	if len(e.flags) == 0 { // they differ in something else, such as the tenant
		e.flags = []string{"--user", "--authority"}
	}
	return e
}

// nobody returns why a record has nothing for q: core.ErrReauthRequired for a user who is in
// the record, and core.ErrNotFound otherwise, also if there is no record.
func nobody(c *tokencache.Cache, q tokencache.Query) error {
	users := c.Accounts()
	anywhere := q
	anywhere.Environment, anywhere.Tenant = "", ""
	switch named := fitting(c, anywhere); {
	case q.App:
		return fmt.Errorf("%w of %s", core.ErrNotFound, whom(q))
	case len(users) == 0: // at no provider
		return fmt.Errorf("%w of %s", core.ErrNotFound, whom(tokencache.Query{Username: q.Username}))
	case len(named) == 0:
		return fmt.Errorf("%w of %s; %w: %s", core.ErrNotFound, q.Username, errOtherUsers, strings.Join(distinct(users, nameOf), ", "))
	case !slices.ContainsFunc(named, func(a tokencache.Account) bool { return at(c, a, q.Environment) }):
		return fmt.Errorf("%w of %s; %w: %s (name the provider with --authority)", core.ErrNotFound, q.Environment, errOtherProviders, strings.Join(distinct(named, environmentOf), ", "))
	}
	return fmt.Errorf("%w: %s", core.ErrReauthRequired, cmp.Or(q.Username, "no token for the application"))
}

// at reports whether the user's account is at this provider.
func at(c *tokencache.Cache, a tokencache.Account, environment string) bool {
	return slices.Contains(fitting(c, tokencache.Query{Environment: environment}), a)
}

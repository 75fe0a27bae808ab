package tokencache_test

import (
	"fmt"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

const elsewhere = "idp.example.com"

// signInAt signs ana in at a provider, under one and the same home account ID.
func signInAt(t testing.TB, c *tokencache.Cache, environment, token string) {
	t.Helper()
	r := answer("ana@contoso.com", anaID, token, noon)
	r.Environment = environment
	put(t, c, r)
}

func TestAQueryIsForOneProvider(t *testing.T) {
	two := tokencache.New()
	signInAt(t, two, cloud, "entra")
	signInAt(t, two, elsewhere, "other")
	for _, c := range []*tokencache.Cache{two, parse(t, marshal(t, two)), tokencache.Merge(nil, two, nil)} {
		for _, q := range []tokencache.Query{ana, {HomeAccountID: anaID}, {}, {ClientID: clientA, Tenant: "common"}} {
			if !c.Ambiguous(q) {
				t.Errorf("%+v: of two providers one was chosen", q)
			}
			wantAccess(t, c, q, "")
			wantRefresh(t, c, q, "")
			if _, ok := c.Account(q); ok || c.Remove(q) || c.DropAccessToken(q) {
				t.Errorf("%+v: something was found", q)
			}
			for environment, want := range map[string]string{
				cloud: "entra", "LOGIN.windows.net": "entra", "login.microsoft.com": "entra", "sts.windows.net": "entra",
				elsewhere: "other", "IDP.Example.com": "other", "login.microsoftonline.us": "",
			} {
				q.Environment = environment
				tokens := map[string]string{"entra": "at-entra", "other": "at-other"}
				wantAccess(t, c, q, tokens[want])
				if rt, ok := c.RefreshToken(q); ok != (want != "") || ok && rt.Secret.Reveal() != "rt-"+want {
					t.Errorf("%+v: the refresh token is %q", q, rt.Secret.Reveal())
				}
				a, ok := c.Account(q)
				if id, found := c.IDToken(q); ok != (want != "") || found != ok || a.Environment != id.Environment {
					t.Errorf("%+v: the account is %+v, the id token is of %q", q, a, id.Environment)
				}
				if c.Ambiguous(q) {
					t.Errorf("%+v is ambiguous", q)
				}
			}
		}
	}
	q := ana
	q.Environment = elsewhere
	if !two.Remove(q) || two.Remove(q) {
		t.Error("not removed exactly once")
	}
	wantAccess(t, two, ana, "at-entra")
	if two.Ambiguous(ana) {
		t.Error("one provider is left, and ambiguous")
	}
}

func TestAnApplicationsTokensOfTwoProvidersAreApart(t *testing.T) {
	c := tokencache.New()
	for environment, token := range map[string]string{cloud: "entra", elsewhere: "other"} {
		put(t, c, tokencache.TokenResponse{AccessToken: token, ClientID: clientA, Tenant: "t", Environment: environment, Scope: ".default", ExpiresIn: 3600, Sent: noon})
	}
	put(t, c, tokencache.TokenResponse{AccessToken: "b", ClientID: clientB, Tenant: "t", Environment: elsewhere, Scope: ".default", ExpiresIn: 3600, Sent: noon})
	app := tokencache.Query{App: true, ClientID: clientA}
	if !c.Ambiguous(app) || !c.Ambiguous(tokencache.Query{App: true}) || c.Remove(app) {
		t.Error("of two providers one was chosen")
	}
	wantAccess(t, c, app, "")
	wantAccess(t, c, tokencache.Query{App: true, ClientID: clientB}, "b")
	wantAccess(t, c, tokencache.Query{App: true, ClientID: clientA, Environment: "login.windows.net"}, "entra")
	wantAccess(t, c, tokencache.Query{App: true, ClientID: clientA, Environment: elsewhere}, "other")
}

func TestASecondProviderDisplacesNothing(t *testing.T) {
	base := tokencache.New()
	signInAt(t, base, cloud, "entra")
	mine, theirs := base.Clone(), base.Clone()
	signInAt(t, mine, elsewhere, "mine")
	signInAt(t, theirs, cloud, "theirs")
	got := merge(t, base, mine, theirs)
	q := ana
	q.Environment = cloud
	wantRefresh(t, got, q, "rt-theirs")
	q.Environment = elsewhere
	wantRefresh(t, got, q, "rt-mine")

	// A sign-out at one provider is none at the other.
	base, mine, theirs = got, got.Clone(), got.Clone()
	mine.Remove(q)
	signInAt(t, theirs, cloud, "again")
	got = merge(t, base, mine, theirs)
	wantRefresh(t, got, ana, "rt-again")

	// A user who is known by an object ID at one provider is not known at the other.
	c := tokencache.New()
	signInAt(t, c, cloud, "entra")
	r := answer("eve@example.com", "x", "other", noon)
	r.ClientInfo, r.Environment = "", elsewhere
	r.IDToken = idToken(`{"oid":"aaaaaaaa-0000-0000-0000-000000000001","tid":"t"}`)
	put(t, c, r)
	if a, ok := c.Account(tokencache.Query{Environment: elsewhere}); !ok || a.HomeAccountID == anaID {
		t.Errorf("the account is %+v", a)
	}
}

func TestLettersOfClientAndEnvironmentMayBeInEitherCase(t *testing.T) {
	c := parse(t, fmt.Sprintf(`{
		"Account":{"a":{"home_account_id":"U.T","environment":"Login.MicrosoftOnline.com","realm":"Common","username":"ana@contoso.com"}},
		"AccessToken":{"t":{"home_account_id":"u.t","environment":"LOGIN.microsoftonline.com","client_id":"ABC","realm":"common","secret":"at"}},
		"RefreshToken":{"r":{"home_account_id":"u.T","environment":"login.Windows.net","client_id":"aBC","secret":"rt"}},
		"IdToken":{"i":{"home_account_id":"u.t","environment":%q,"client_id":"abC","realm":"COMMON","secret":"id"}}}`, cloud))
	for _, q := range []tokencache.Query{{}, {ClientID: "abc", Environment: "STS.Windows.NET", Tenant: "common"}, {ClientID: "ABC", HomeAccountID: "u.T", Environment: cloud}} {
		wantAccess(t, c, q, "at")
		wantRefresh(t, c, q, "rt")
		if id, ok := c.IDToken(q); !ok || id.Secret != "id" {
			t.Errorf("%+v: there is no id token", q)
		}
		if _, ok := c.Account(q); !ok || c.Ambiguous(q) {
			t.Errorf("%+v: there is no account", q)
		}
	}
	put(t, c, tokencache.TokenResponse{AccessToken: "new", RefreshToken: "new", ClientID: "Abc", Environment: "login.MICROSOFT.com", Tenant: "cOmmon", HomeAccountID: "U.t", ExpiresIn: 60, Sent: noon})
	d := read(t, marshal(t, c))
	for _, section := range []string{"AccessToken", "RefreshToken", "Account"} {
		d.only(t, section)
	}
}

func TestWithoutATenantTheHomeTenantGoesFirst(t *testing.T) {
	const guestTenant = "dddddddd-0000-0000-0000-000000000000"
	signIn := func(c *tokencache.Cache, realm, token string, seconds int) {
		r := answer("ana@contoso.com", anaID, token, at(seconds))
		if realm == guestTenant || realm == "fabrikam.com" {
			r.IDToken = idToken(fmt.Sprintf(`{"oid":"99999999-0000-0000-0000-000000000009","tid":%q,"preferred_username":"ana@contoso.com"}`, guestTenant))
		}
		r.Tenant = realm
		put(t, c, r)
	}
	for _, x := range []struct {
		sentence string
		realms   []string // in the order of sign-ins
		want     string
	}{
		{"the home tenant's ID, signed in first", []string{tenant, guestTenant}, tenant},
		{"the home tenant's ID, signed in last", []string{guestTenant, tenant}, tenant},
		{"common is the home tenant", []string{"common", guestTenant}, "common"},
		{"organizations is the home tenant", []string{"organizations", guestTenant}, "organizations"},
		{"consumers is the home tenant", []string{"consumers", guestTenant}, "consumers"},
		{"the home tenant's domain", []string{"contoso.com", "fabrikam.com"}, "contoso.com"},
		{"the home tenant's domain, signed in last", []string{"fabrikam.com", "contoso.com"}, "contoso.com"},
		{"a guest alone", []string{guestTenant}, guestTenant},
		{"a domain alone", []string{"contoso.com"}, "contoso.com"},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			written := tokencache.New()
			for i, realm := range x.realms {
				signIn(written, realm, realm, i)
			}
			for _, c := range []*tokencache.Cache{written, parse(t, marshal(t, written))} {
				for _, q := range []tokencache.Query{ana, {HomeAccountID: anaID, ClientID: clientA, Environment: cloud}} {
					wantAccess(t, c, q, "at-"+x.want)
					if a, ok := c.Account(q); !ok || a.Realm != x.want {
						t.Errorf("the account is %+v", a)
					}
					if id, ok := c.IDToken(q); !ok || id.Realm != x.want {
						t.Errorf("the id token is of %q", id.Realm)
					}
					for _, realm := range x.realms { // the query's tenant decides
						q.Tenant = realm
						wantAccess(t, c, q, "at-"+realm)
						if a, _ := c.Account(q); a.Realm != realm {
							t.Errorf("the account is %+v", a)
						}
					}
				}
				// Where the home tenant's token is dropped, no guest's takes its place.
				c.DropSecret(tokencache.Secret("at-" + x.want))
				wantAccess(t, c, ana, "")
				if a, _ := c.Account(ana); a.Realm != x.want {
					t.Errorf("without an access token the account is %+v", a)
				}
			}
		})
	}
}

func TestTokensUnderAnotherNameOfTheHomeTenantAreFound(t *testing.T) {
	// MSAL Node and .NET file tokens under the tenant's ID, whatever was asked.
	c := parse(t, documentOf(anasAccount, entry{"AccessToken", "k", `"secret":"at","realm":"` + tenant + `","expires_on":"9"`}))
	wantAccess(t, c, ana, "at")
	put(t, c, refreshed("ana@contoso.com", anaID, "new", noon))
	wantAccess(t, c, ana, "at-new")
}

func TestAClientThatKnowsTheUserAsAGuestAloneGetsTheGuestsTokens(t *testing.T) {
	c := tokencache.New()
	put(t, c, answer("ana@contoso.com", anaID, "home", noon))
	r := answer("ana@contoso.com", anaID, "guest", noon)
	r.ClientID, r.Tenant = clientB, "dddddddd-0000-0000-0000-000000000000"
	put(t, c, r)
	wantAccess(t, c, tokencache.Query{Username: ana.Username, ClientID: clientB}, "at-guest")
	wantAccess(t, c, tokencache.Query{Username: ana.Username, ClientID: clientA}, "at-home")
}

func TestARefusedSecretIsDroppedWhereverItIs(t *testing.T) {
	c := signedIn(t)
	more := refreshed("ana@contoso.com", anaID, "ana", noon)
	more.Scope, more.ExpiresIn = "Files.Read Sites.Read", 90000
	more.Tenant = tenant
	put(t, c, more)
	base := c.Clone()
	if c.DropSecret("") || c.DropSecret("at-eve") || !c.DropSecret("at-ana") || c.DropSecret("at-ana") {
		t.Error("not dropped exactly once")
	}
	for _, q := range []tokencache.Query{ana, {Username: ana.Username, Tenant: tenant}, {Username: ana.Username, Scopes: []string{"Files.Read"}}} {
		wantAccess(t, c, q, "")
		wantRefresh(t, c, q, "rt-ana")
	}
	wantAccess(t, c, bo, "at-bo")
	if c.Clone().DropSecret("rt-ana") {
		t.Error("a refresh token was dropped")
	}
	// Neither what is stored nor another library's spelling of it brings the token back.
	stripped := documentOf(entry{"AccessToken", "k", `"secret":"at-ana","realm":"common","target":"User.Read Mail.Read","token_type":null`})
	for _, theirs := range []*tokencache.Cache{base, tokencache.Merge(nil, base, parse(t, stripped))} {
		wantAccess(t, merge(t, base, c, theirs), ana, "")
		refreshed := c.Clone()
		put(t, refreshed, answer("ana@contoso.com", anaID, "new", at(60)))
		wantAccess(t, merge(t, base, refreshed, theirs), ana, "at-new")
	}
}

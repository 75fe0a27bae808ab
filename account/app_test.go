package account_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func newApp(t *testing.T, idp *entra.Server, b core.TokenBackend, cfg account.Config) *account.App {
	t.Helper()
	p, err := account.NewApp(core.NewStore(b), filled(idp, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func filled(idp *entra.Server, cfg account.Config) account.Config {
	if cfg.ClientID == "" {
		cfg.ClientID = entra.PublicClient
	}
	if cfg.Scopes == nil && !cfg.App {
		cfg.Scopes = []string{"User.Read"}
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = idp.HTTPClient()
	}
	return cfg
}

// visit goes as far as the redirect.
func visit(t *testing.T, idp *entra.Server, p *account.App, username string, o account.AuthOptions) (account.Flow, string) {
	t.Helper()
	address, flow, err := p.AuthURL(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignInAs(username, address)
	if err != nil {
		t.Fatal(err)
	}
	return flow, redirect
}

func signInTo(t *testing.T, idp *entra.Server, p *account.App, username string) *account.Account {
	t.Helper()
	flow, redirect := visit(t, idp, p, username, account.AuthOptions{})
	a, err := p.SignIn(t.Context(), flow, redirect)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func keysOf(t *testing.T, b core.TokenBackend) []string {
	t.Helper()
	var keys []string
	for key, err := range core.NewStore(b).Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestEachUserGetsARecordNamedForTheHomeAccountID(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	var want []string
	for _, username := range []string{ana, bo} {
		a := signInTo(t, idp, p, username)
		known, _ := idp.User(username)
		if got := a.User(); got.Username != username || got.HomeAccountID != known.HomeAccountID() {
			t.Errorf("signed in as %+v, want %s with the ID %s", got, username, known.HomeAccountID())
		}
		want = append(want, known.HomeAccountID())
		// A later request, in another process.
		later := newApp(t, idp, b, account.Config{}).Account(a.User().HomeAccountID)
		if token, err := later.TokenSource().Token(t.Context()); err != nil || token.HomeAccountID != known.HomeAccountID() {
			t.Errorf("%s: a token of %q, and the error %v", username, token.HomeAccountID, err)
		}
		if ok, err := later.IsAuthenticated(t.Context()); !ok || err != nil {
			t.Errorf("%s is authenticated: %v, %v", username, ok, err)
		}
	}
	slices.Sort(want)
	if got := keysOf(t, b); !slices.Equal(got, want) {
		t.Errorf("the records are %q, want %q", got, want)
	}
	if n := idp.Grants().RefreshesSucceeded; n != 0 {
		t.Errorf("%d refreshes of fresh tokens", n)
	}
}

func TestAnHTTPClientCallsGraphAsTheUser(t *testing.T) {
	idp := start(t)
	p := newApp(t, idp, newBackend(t), account.Config{})
	for _, username := range []string{ana, bo} {
		resp, err := signInTo(t, idp, p, username).HTTPClient().Get("https://graph.microsoft.com/v1.0/me")
		if err != nil {
			t.Fatal(err)
		}
		var me struct {
			UserPrincipalName string `json:"userPrincipalName"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || me.UserPrincipalName != username {
			t.Errorf("Graph knows %q, want %s: %v", me.UserPrincipalName, username, err)
		}
		_ = resp.Body.Close()
	}
}

func TestAUserWhoHasNotSignedInIsNotAuthenticated(t *testing.T) {
	idp := start(t)
	a := newApp(t, idp, newBackend(t), account.Config{}).Account("uid.utid")
	if ok, err := a.IsAuthenticated(t.Context()); ok || err != nil {
		t.Errorf("is authenticated: %v, %v", ok, err)
	}
	if _, err := a.TokenSource().Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("the error is %v, want ErrReauthRequired", err)
	}
}

func TestAnExpiredTokenIsAuthenticatedWhileThereIsARefreshToken(t *testing.T) {
	for what, row := range map[string]struct {
		refreshToken string
		expiresIn    int
		scope        string
		want         bool
	}{
		"a valid token":                        {"", 3600, "User.Read", true},
		"a valid token of other scopes":        {"", 3600, "Mail.Read", false},
		"an expired token":                     {"", -60, "User.Read", false},
		"an expired token and a refresh token": {"rt", -60, "User.Read", true},
	} {
		idp, b := start(t), newBackend(t)
		if _, err := core.NewStore(b).Put(t.Context(), "uid.utid", tokencache.TokenResponse{
			AccessToken: "at", RefreshToken: row.refreshToken, Scope: row.scope, ExpiresIn: row.expiresIn, ClientID: entra.PublicClient, HomeAccountID: "uid.utid",
		}); err != nil {
			t.Fatal(err)
		}
		if ok, err := newApp(t, idp, b, account.Config{}).Account("uid.utid").IsAuthenticated(t.Context()); ok != row.want || err != nil {
			t.Errorf("%s: %v, want %v: %v", what, ok, row.want, err)
		}
	}
}

func TestTheUsersOfAStoreAreListed(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	signInTo(t, idp, p, ana)
	signInTo(t, idp, p, bo)
	// Records that are named for no user are none of the App's.
	signIn(t, idp, newAccount(t, idp, b, account.Config{}), ana)
	daemon := newApp(t, idp, b, account.Config{ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret), Tenant: entra.Tenant, App: true})
	if _, err := daemon.SignInApp(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, err := p.Usernames(t.Context())
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{ana, bo}) {
		t.Errorf("the users are %q: %v", names, err)
	}
	a, err := p.User(t.Context(), strings.ToUpper(bo))
	if err != nil || a.User().Username != bo {
		t.Fatalf("the user of that name: %v", err)
	}
	if _, err := a.TokenSource().Token(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := p.User(t.Context(), "nobody@contoso.com"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("nobody: %v, want ErrNotFound", err)
	}
}

func TestABrokenRecordHidesNoOtherUser(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	signInTo(t, idp, p, ana)
	if _, err := b.Save(t.Context(), "torn.record", core.Record{Data: core.Data(`{"AccessToken":`)}); err != nil {
		t.Fatal(err)
	}
	names, err := p.Usernames(t.Context())
	if !slices.Equal(names, []string{ana}) || !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("the users are %q, and the error %v", names, err)
	}
}

func TestASignOutThatLeavesARecordEmptyDeletesIt(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	a := signInTo(t, idp, p, ana)
	other := signInTo(t, idp, p, bo)
	if err := a.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := keysOf(t, b); !slices.Equal(got, []string{other.User().HomeAccountID}) {
		t.Errorf("the records are %q", got)
	}
	if err := a.SignOut(t.Context()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("signing out twice: %v, want ErrNotFound", err)
	}
	if _, err := a.TokenSource().Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("a token after signing out: %v", err)
	}
	if err := p.SignOutAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := keysOf(t, b); len(got) != 0 {
		t.Errorf("the records are %q", got)
	}
}

func TestAllUsersOfARecordSignOut(t *testing.T) {
	idp, b := start(t), newBackend(t)
	a := newAccount(t, idp, b, account.Config{})
	signIn(t, idp, a, ana)
	signIn(t, idp, a, bo)
	if names, err := a.Usernames(t.Context()); err != nil || !slices.Equal(names, []string{ana, bo}) {
		t.Errorf("the users are %q: %v", names, err)
	}
	if token, err := a.As(ana).TokenSource().Token(t.Context()); err != nil || !strings.HasPrefix(token.HomeAccountID, homeOf(idp, ana)) {
		t.Errorf("the other user's token: %v", err)
	}
	if err := a.As(ana).SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := a.Usernames(t.Context()); err != nil || !slices.Equal(names, []string{bo}) {
		t.Errorf("the users are %q: %v", names, err)
	}
	if err := a.SignOutAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, err := a.Usernames(t.Context()); err != nil || len(names) != 0 || len(keysOf(t, b)) != 0 {
		t.Errorf("the users are %q, and the records %q: %v", names, keysOf(t, b), err)
	}
}

func homeOf(idp *entra.Server, username string) string {
	u, _ := idp.User(username)
	return u.HomeAccountID()
}

// The record of New is one for all: the account means whoever signed in last.
func TestAnAccountMeansTheUserWhoSignedInLast(t *testing.T) {
	idp, b := start(t), newBackend(t)
	a := newAccount(t, idp, b, account.Config{})
	for _, username := range []string{ana, bo, ana} {
		signIn(t, idp, a, username)
		token, err := a.TokenSource().Token(t.Context())
		if err != nil || a.User().Username != username || token.HomeAccountID != homeOf(idp, username) {
			t.Errorf("%s signed in, and the token is %q's: %v", username, token.HomeAccountID, err)
		}
	}
}

func TestSomebodyElsesSignInIsRefusedAndStoresNothing(t *testing.T) {
	for what, row := range map[string]struct {
		cfg account.Config
		o   account.AuthOptions
	}{
		"the Config names a user": {account.Config{Username: ana}, account.AuthOptions{}},
		"a login hint is bound":   {account.Config{}, account.AuthOptions{LoginHint: "Ana@Contoso.com", BindLoginHint: true}},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			p := newApp(t, idp, b, row.cfg)
			flow, redirect := visit(t, idp, p, bo, row.o)
			_, err := p.SignIn(t.Context(), flow, redirect)
			if !errors.Is(err, account.ErrOtherUser) || !strings.Contains(err.Error(), bo) {
				t.Errorf("the error is %v, want ErrOtherUser that names %s", err, bo)
			}
			if got := keysOf(t, b); len(got) != 0 {
				t.Errorf("the records are %q", got)
			}
			flow, redirect = visit(t, idp, p, ana, row.o)
			if _, err := p.SignIn(t.Context(), flow, redirect); err != nil {
				t.Errorf("the user meant: %v", err)
			}
		})
	}
	t.Run("the account is one user's", func(t *testing.T) {
		idp, b := start(t), newBackend(t)
		p := newApp(t, idp, b, account.Config{})
		a := signInTo(t, idp, p, ana)
		address, flow, err := a.AuthURL(t.Context(), account.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		redirect, err := idp.SignInAs(bo, address)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrOtherUser) {
			t.Errorf("the error is %v, want ErrOtherUser", err)
		}
		if a.User().Username != ana || len(keysOf(t, b)) != 1 {
			t.Errorf("the account is %s's, and the records are %q", a.User().Username, keysOf(t, b))
		}
	})
	t.Run("a bound hint that isn't the Config's user", func(t *testing.T) {
		idp := start(t)
		p := newApp(t, idp, newBackend(t), account.Config{Username: ana})
		if _, _, err := p.AuthURL(t.Context(), account.AuthOptions{LoginHint: bo, BindLoginHint: true}); err == nil {
			t.Error("no error")
		}
	})
}

func TestALoginHintThatIsNotBoundIsAHint(t *testing.T) {
	idp := start(t)
	p := newApp(t, idp, newBackend(t), account.Config{})
	flow, redirect := visit(t, idp, p, bo, account.AuthOptions{LoginHint: ana})
	if a, err := p.SignIn(t.Context(), flow, redirect); err != nil || a.User().Username != bo {
		t.Error(err)
	}
}

func TestARedirectThatDoesNotFitIsRefusedBeforeTheCodeIsSent(t *testing.T) {
	const issuer = "https://login.microsoftonline.com/" + entra.Tenant + "/v2.0"
	edit := func(change func(*url.URL, url.Values)) func(string) string {
		return func(redirect string) string {
			u, err := url.Parse(redirect)
			if err != nil {
				panic(err)
			}
			q := u.Query()
			change(u, q)
			u.RawQuery = q.Encode()
			return u.String()
		}
	}
	for what, row := range map[string]struct {
		redirect func(string) string
		want     error // nil for a sign-in that is good, errAny for any error
	}{
		"as it came":                      {func(r string) string { return r }, nil},
		"its query alone":                 {func(r string) string { _, q, _ := strings.Cut(r, "?"); return q }, nil},
		"its query, with a question mark": {func(r string) string { _, q, _ := strings.Cut(r, "?"); return q + "&hint=https://a/?b" }, nil},
		"its path and query":              {func(r string) string { return "/callback?" + strings.SplitN(r, "?", 2)[1] }, nil},
		"its issuer is named":             {edit(func(_ *url.URL, q url.Values) { q.Set("iss", issuer) }), nil},
		"another issuer is named":         {edit(func(_ *url.URL, q url.Values) { q.Set("iss", "https://thief.example/v2.0") }), account.ErrOtherIssuer},
		"an issuer like it is named":      {edit(func(_ *url.URL, q url.Values) { q.Set("iss", "https://login.microsoftonline.com/a/b/v2.0") }), account.ErrOtherIssuer},
		"an empty issuer is named":        {edit(func(_ *url.URL, q url.Values) { q.Set("iss", "") }), account.ErrOtherIssuer},
		"another issuer refuses": {edit(func(_ *url.URL, q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("iss", "https://thief.example/v2.0")
		}), account.ErrOtherIssuer},
		"the state is forged":               {edit(func(_ *url.URL, q url.Values) { q.Set("state", "forged") }), account.ErrStateMismatch},
		"the state is missing":              {edit(func(_ *url.URL, q url.Values) { q.Del("state") }), account.ErrStateMismatch},
		"the state comes twice":             {edit(func(_ *url.URL, q url.Values) { q.Add("state", "other") }), errAny},
		"a parameter comes twice":           {edit(func(_ *url.URL, q url.Values) { q["session_state"] = []string{"a", "b"} }), errAny},
		"the code comes twice":              {edit(func(_ *url.URL, q url.Values) { q.Add("code", "other") }), errAny},
		"the browser came back to a thief":  {edit(func(u *url.URL, _ url.Values) { u.Host = "thief.example" }), account.ErrOtherFlow},
		"the browser came back elsewhere":   {edit(func(u *url.URL, _ url.Values) { u.Path = "/elsewhere" }), account.ErrOtherFlow},
		"the browser came back without TLS": {edit(func(u *url.URL, _ url.Values) { u.Scheme = "http" }), account.ErrOtherFlow},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			p := newApp(t, idp, b, account.Config{})
			flow, redirect := visit(t, idp, p, ana, account.AuthOptions{})
			_, err := p.SignIn(t.Context(), flow, row.redirect(redirect))
			if row.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || row.want != errAny && !errors.Is(err, row.want) {
				t.Errorf("the error is %v, want %v", err, row.want)
			}
			if n := idp.Grants().Total.Received; n != 0 {
				t.Error("the code was sent")
			}
			if _, err := p.SignIn(t.Context(), flow, redirect); err != nil {
				t.Errorf("the right redirect after it: %v", err)
			}
		})
	}
}

var errAny = errors.New("any")

func TestAFlowOfAnotherApplicationOrProviderIsRefused(t *testing.T) {
	idp := start(t)
	for what, cfg := range map[string]account.Config{
		"application": {ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret)},
		"tenant":      {Tenant: entra.Tenant},
		"provider":    {Authority: idp.URL(), DisableInstanceDiscovery: true},
	} {
		flow, redirect := visit(t, idp, newApp(t, idp, newBackend(t), account.Config{}), ana, account.AuthOptions{})
		_, err := newApp(t, idp, newBackend(t), cfg).SignIn(t.Context(), flow, redirect)
		if !errors.Is(err, account.ErrOtherFlow) {
			t.Errorf("another %s: %v, want ErrOtherFlow", what, err)
		}
	}
	if n := idp.Grants().Total.Received; n != 0 {
		t.Errorf("%d codes were sent", n)
	}
}

func TestACallbackThatComesAgainIsRefused(t *testing.T) {
	idp := start(t)
	p := newApp(t, idp, newBackend(t), account.Config{})
	flow, redirect := visit(t, idp, p, ana, account.AuthOptions{})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs { // a user who is impatient
		wg.Go(func() { _, errs[i] = p.SignIn(t.Context(), flow, redirect) })
	}
	wg.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
		} else if !errors.Is(err, account.ErrFlowUsed) {
			t.Errorf("the error is %v, want ErrFlowUsed", err)
		}
	}
	if n := idp.Grants().ByType[entra.AuthorizationCode].Received; good != 1 || n != 1 {
		t.Errorf("%d calls signed in, and the code was sent %d times; want once each", good, n)
	}
	a, err := p.User(t.Context(), ana)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
		t.Errorf("the sign-in after that: %v", err)
	}
}

func TestTwoTabsSignInEachWithItsOwnFlow(t *testing.T) {
	idp := start(t)
	p := newApp(t, idp, newBackend(t), account.Config{})
	first, redirectOfFirst := visit(t, idp, p, ana, account.AuthOptions{})
	second, redirectOfSecond := visit(t, idp, p, bo, account.AuthOptions{})
	if _, err := p.SignIn(t.Context(), first, redirectOfSecond); !errors.Is(err, account.ErrStateMismatch) {
		t.Errorf("the redirects swapped: %v", err)
	}
	if a, err := p.SignIn(t.Context(), second, redirectOfSecond); err != nil || a.User().Username != bo {
		t.Errorf("the second tab: %v", err)
	}
	if a, err := p.SignIn(t.Context(), first, redirectOfFirst); err != nil || a.User().Username != ana {
		t.Errorf("the first tab: %v", err)
	}
}

func TestAFlowExpires(t *testing.T) {
	for lifetime, want := range map[time.Duration]time.Duration{0: 10 * time.Minute, time.Minute: time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			p, err := account.NewApp(core.NewStore(newBackend(t)), account.Config{
				ClientID: "app", Authority: "https://idp.example.com/t", DisableInstanceDiscovery: true,
				HTTPClient: &http.Client{Transport: at("idp.example.com", `{}`)},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, flow, err := p.AuthURL(t.Context(), account.AuthOptions{Lifetime: lifetime})
			if err != nil {
				t.Fatal(err)
			}
			redirect := "?code=c&state=" + flow.State()
			if left := time.Until(flow.Expires()); left != want {
				t.Errorf("the flow lives %v, want %v", left, want)
			}
			time.Sleep(want - time.Second)
			if _, err := p.SignIn(t.Context(), flow, redirect); err == nil || errors.Is(err, account.ErrFlowExpired) {
				t.Errorf("a second before: %v", err)
			}
			time.Sleep(time.Second)
			if _, err := p.SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrFlowExpired) {
				t.Errorf("the error is %v, want ErrFlowExpired", err)
			}
		})
	}
}

// answering makes a provider that answers a code with an id token of its own making.
func answering(t *testing.T, claims map[string]any, edit func(map[string]any, url.Values)) (*account.App, func(*account.App, account.AuthOptions) error, core.TokenBackend) {
	t.Helper()
	b := newBackend(t)
	var asked url.Values
	provider := roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost {
			edit(claims, asked)
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			return nil, err
		}
		return at("idp.example.com", `{"access_token":"at","refresh_token":"rt","expires_in":3600,"id_token":"`+jwt(payload)+`"}`).RoundTrip(req)
	})
	p, err := account.NewApp(core.NewStore(b), account.Config{
		ClientID: "app", Authority: "https://idp.example.com/t", DisableInstanceDiscovery: true, HTTPClient: &http.Client{Transport: provider},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, func(p *account.App, o account.AuthOptions) error {
		address, flow, err := p.AuthURL(t.Context(), o)
		if err != nil {
			return err
		}
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		asked = u.Query()
		_, err = p.SignIn(t.Context(), flow, "?code=c&state="+flow.State())
		return err
	}, b
}

func TestAnIDTokenThatIsNotThisSignInsIsRefused(t *testing.T) {
	for what, row := range map[string]struct {
		edit func(claims map[string]any, asked url.Values)
		want error
	}{
		"all fits":                     {func(map[string]any, url.Values) {}, nil},
		"one of several audiences":     {func(c map[string]any, _ url.Values) { c["aud"] = []string{"other", "app"} }, nil},
		"another issuer":               {func(c map[string]any, _ url.Values) { c["iss"] = "https://thief.example/t" }, account.ErrOtherIssuer},
		"no issuer":                    {func(c map[string]any, _ url.Values) { delete(c, "iss") }, account.ErrOtherIssuer},
		"another application's":        {func(c map[string]any, _ url.Values) { c["aud"] = "other" }, account.ErrOtherIssuer},
		"no audience":                  {func(c map[string]any, _ url.Values) { delete(c, "aud") }, account.ErrOtherIssuer},
		"another sign-in's nonce":      {func(c map[string]any, _ url.Values) { c["nonce"] = "replayed" }, account.ErrStateMismatch},
		"no nonce":                     {func(c map[string]any, _ url.Values) { delete(c, "nonce") }, account.ErrStateMismatch},
		"the nonce is of another type": {func(c map[string]any, _ url.Values) { c["nonce"] = 7 }, account.ErrStateMismatch},
	} {
		t.Run(what, func(t *testing.T) {
			claims := map[string]any{"iss": "https://idp.example.com/t", "aud": "app", "sub": "s", "preferred_username": ana}
			p, signIn, b := answering(t, claims, func(c map[string]any, asked url.Values) {
				if asked.Get("nonce") == "" {
					t.Error("no nonce was asked for")
				}
				c["nonce"] = asked.Get("nonce")
				row.edit(c, asked)
			})
			err := signIn(p, account.AuthOptions{})
			if !errors.Is(err, row.want) {
				t.Errorf("the error is %v, want %v", err, row.want)
			}
			if stored := len(keysOf(t, b)) > 0; stored != (row.want == nil) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

// Another tenant's administrator can write any address into an account.
func TestAnAddressIsNoUsername(t *testing.T) {
	for what, row := range map[string]struct {
		claims map[string]any
		want   error
	}{
		"the name":                         {map[string]any{"preferred_username": "Ana@contoso.com"}, nil},
		"another name":                     {map[string]any{"preferred_username": "bo@contoso.com"}, account.ErrOtherUser},
		"another name, and the address":    {map[string]any{"preferred_username": "thief@evil.example", "email": ana}, account.ErrOtherUser},
		"another upn, and the address":     {map[string]any{"upn": "thief@evil.example", "email": ana, "emails": []string{ana}}, account.ErrOtherUser},
		"no name but the address":          {map[string]any{"email": ana}, nil},
		"no name but one of the addresses": {map[string]any{"emails": []string{"other@contoso.com", ana}}, nil},
		"no name at all":                   {map[string]any{}, account.ErrOtherUser},
	} {
		row.claims["iss"], row.claims["aud"], row.claims["sub"] = "https://idp.example.com/t", "app", "s"
		p, signIn, b := answering(t, row.claims, func(c map[string]any, asked url.Values) { c["nonce"] = asked.Get("nonce") })
		if err := signIn(p, account.AuthOptions{LoginHint: ana, BindLoginHint: true}); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", what, err, row.want)
		}
		if stored := len(keysOf(t, b)) > 0; stored != (row.want == nil) {
			t.Errorf("%s: stored: %v", what, stored)
		}
	}
}

func TestAProviderThatNamesItselfMustDoSo(t *testing.T) {
	base := at("idp.example.com", `{"access_token":"at","expires_in":3600}`)
	p, err := account.NewApp(core.NewStore(newBackend(t)), account.Config{
		ClientID: "app", Authority: "https://idp.example.com/t", DisableInstanceDiscovery: true,
		HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				return reply(req, `{"token_endpoint":"https://idp.example.com/t/token","authorization_endpoint":"https://idp.example.com/t/authorize","issuer":"https://idp.example.com/t","authorization_response_iss_parameter_supported":true}`), nil
			}
			return base.RoundTrip(req)
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, flow, err := p.AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.SignIn(t.Context(), flow, "?code=c&state="+flow.State()); !errors.Is(err, account.ErrOtherIssuer) {
		t.Errorf("the error is %v, want ErrOtherIssuer", err)
	}
}

func TestAnOptionChangesOneSignIn(t *testing.T) {
	idp := start(t)
	p := newApp(t, idp, newBackend(t), account.Config{})
	address, _, err := p.AuthURL(t.Context(), account.AuthOptions{
		Scopes: []string{"Mail.Read Files.Read"}, RedirectURL: "http://localhost:8400/cb", Tenant: "contoso.com", DomainHint: "contoso.com",
		Extra: map[string]string{"msafed": "0", "state": "mine", "client_id": "mine", "nonce": "mine", "redirect_uri": "https://thief.example"}, FormPost: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"redirect_uri": "http://localhost:8400/cb", "domain_hint": "contoso.com", "msafed": "0", "client_id": entra.PublicClient, "response_mode": "form_post", "code_challenge_method": "S256",
	} {
		if got := q[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(u.Path, "/contoso.com/") || q.Get("state") == "mine" || q.Get("nonce") == "mine" || !strings.Contains(q.Get("scope"), "Files.Read") {
		t.Errorf("the address is %s", address)
	}
	if len(q.Get("state")) < 22 || len(q.Get("nonce")) < 22 {
		t.Errorf("the state has %d characters, the nonce %d", len(q.Get("state")), len(q.Get("nonce")))
	}
}

func TestOneTimeAccessStoresNothing(t *testing.T) {
	for what, row := range map[string]struct {
		cfg account.Config
		o   account.AuthOptions
	}{
		"for one sign-in":            {account.Config{}, account.AuthOptions{NoStore: true}},
		"for all of the application": {account.Config{NoStore: true}, account.AuthOptions{}},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			p := newApp(t, idp, b, row.cfg)
			flow, redirect := visit(t, idp, p, ana, row.o)
			a, err := p.SignIn(t.Context(), flow, redirect)
			if err != nil || a.User().Username != ana {
				t.Fatal(err)
			}
			first, err := a.TokenSource().Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			second, err := a.TokenSource().Refresh(t.Context())
			if err != nil || second.Secret == first.Secret {
				t.Errorf("the refresh: %v", err)
			}
			if third, err := a.TokenSource().Refresh(t.Context()); err != nil || third.Secret == second.Secret {
				t.Errorf("the next refresh, with the refresh token of the first: %v", err)
			}
			if got := keysOf(t, b); len(got) != 0 {
				t.Errorf("the records are %q", got)
			}
			if err := a.SignOut(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := a.TokenSource().Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
				t.Errorf("a token after signing out: %v", err)
			}
		})
	}
}

func TestARefreshNeedNotBeStored(t *testing.T) {
	idp, b := entra.Start(t, entra.Options{}), newBackend(t)
	a := signInTo(t, idp, newApp(t, idp, b, account.Config{}), ana)
	before, err := b.Load(t.Context(), a.User().HomeAccountID)
	if err != nil {
		t.Fatal(err)
	}
	old, err := a.TokenSource().Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := a.NotStoring().TokenSource().Refresh(t.Context())
	if err != nil || fresh.Secret == old.Secret {
		t.Fatalf("the refresh: %v", err)
	}
	after, err := b.Load(t.Context(), a.User().HomeAccountID)
	if err != nil || after.Version != before.Version || !after.Data.Equal(before.Data) {
		t.Errorf("the record has changed: %v", err)
	}
	if still, err := a.TokenSource().Token(t.Context()); err != nil || still.Secret != old.Secret {
		t.Errorf("the account itself has another token: %v", err)
	}
}

func TestAGuestsTokenIsChosenByTenant(t *testing.T) {
	const microsoft = "login.microsoftonline.com"
	store := core.NewStore(newBackend(t))
	id := "uid." + home
	for _, s := range [][2]string{{"home's", home}, {"guest's", guest}} {
		if err := store.Update(t.Context(), id, func(c *tokencache.Cache) error {
			return c.Put(tokencache.TokenResponse{
				AccessToken: s[0], RefreshToken: "rt", Scope: "User.Read", ExpiresIn: 3600, ClientID: "app",
				Environment: microsoft, Tenant: s[1], HomeAccountID: id, IDToken: jwt([]byte(`{"oid":"uid","tid":"` + s[1] + `","sub":"s","preferred_username":"` + ana + `"}`)),
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := account.NewApp(store, account.Config{ClientID: "app", Scopes: []string{"User.Read"}, HTTPClient: &http.Client{Transport: discovery{}}})
	if err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]string{"": "home's", guest: "guest's", home: "home's"} {
		if token, err := p.Account(id).InTenant(tenant).TokenSource().Token(t.Context()); err != nil || token.Secret.Reveal() != want {
			t.Errorf("in %q the token is %q, want %q: %v", tenant, token.Secret.Reveal(), want, err)
		}
	}
}

func TestNothingOfAnAppShowsASecret(t *testing.T) {
	const secret = "secret-canary"
	cfg := account.Config{ClientID: "app", Credential: account.Secret(secret, "older-canary")}
	p, err := account.NewApp(core.NewStore(newBackend(t)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	code := account.DeviceCode{UserCode: "code-canary", VerificationURL: "https://microsoft.com/devicelogin", Message: "Enter code-canary"}
	for _, value := range []any{p, cfg, cfg.Credential, code, &code, p.Account("uid.utid")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
				t.Errorf("%s of a %T shows %s", verb, value, text)
			}
		}
		if text, err := json.Marshal(value); err == nil && strings.Contains(string(text), "secret-canary") {
			t.Errorf("JSON of a %T shows %s", value, text)
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
			slog.New(handler).Info("", "value", value)
		}
		if strings.Contains(log.String(), "canary") {
			t.Errorf("the log of a %T shows %s", value, &log)
		}
	}
}

func jwt(payload []byte) string { return "e30." + b64(payload) + "." }

// A guest signs in to one more tenant: the account that SignIn returns means the guest's
// tokens, and the home tenant's stay what they are.
func TestASignInToAnotherTenantIsAGuests(t *testing.T) {
	var nonce string
	provider := roundTrip(func(req *http.Request) (*http.Response, error) {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
		if req.Method == http.MethodGet {
			base := "https://idp.example.com/" + tenant
			return reply(req, `{"token_endpoint":"`+base+`/token","authorization_endpoint":"`+base+`/authorize","issuer":"https://idp.example.com/{tenantid}"}`), nil
		}
		id := jwt([]byte(`{"iss":"https://idp.example.com/` + tenant + `","tid":"` + tenant + `","aud":"app","sub":"s","oid":"in ` + tenant + `","nonce":"` + nonce + `","preferred_username":"` + ana + `"}`))
		return reply(req, `{"access_token":"`+tenant+`'s","refresh_token":"rt","expires_in":3600,"id_token":"`+id+`","client_info":"`+b64([]byte(`{"uid":"uid","utid":"`+home+`"}`))+`"}`), nil
	})
	b := newBackend(t)
	p, err := account.NewApp(core.NewStore(b), account.Config{
		ClientID: "app", Authority: "https://idp.example.com", Tenant: home, DisableInstanceDiscovery: true, HTTPClient: &http.Client{Transport: provider},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"", guest} {
		address, flow, err := p.AuthURL(t.Context(), account.AuthOptions{Tenant: tenant})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		nonce = u.Query().Get("nonce")
		a, err := p.SignIn(t.Context(), flow, "?code=c&state="+flow.State())
		if err != nil {
			t.Fatal(err)
		}
		want := cmp.Or(tenant, home) + "'s"
		if token, err := a.TokenSource().Token(t.Context()); err != nil || token.Secret.Reveal() != want {
			t.Errorf("signed in at %q, the token is %s, want %s: %v", tenant, token.Secret.Reveal(), want, err)
		}
	}
	if got := keysOf(t, b); len(got) != 1 {
		t.Errorf("the records are %q, want one", got)
	}
	a := p.Account("uid." + home)
	for tenant, want := range map[string]string{"": home, guest: guest} {
		if token, err := a.InTenant(tenant).TokenSource().Token(t.Context()); err != nil || token.Secret.Reveal() != want+"'s" {
			t.Errorf("in %q the token is %s: %v", tenant, token.Secret.Reveal(), err)
		}
	}
	// A guest's token that isn't there is obtained with the refresh token, without another sign-in.
	const third = "33333333-3333-4333-8333-333333333333"
	if token, err := a.InTenant(third).TokenSource().Token(t.Context()); err != nil || token.Secret.Reveal() != third+"'s" {
		t.Errorf("in a third tenant the token is %s: %v", token.Secret.Reveal(), err)
	}
}

func TestTwoUsersOfOneNameAreAmbiguous(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	signInTo(t, idp, p, ana)
	before := homeOf(idp, ana)
	if err := idp.AddUser(entra.User{Username: ana, ObjectID: "0b1c2d3e-0000-4000-8000-0000000000a2"}); err != nil { // the next employee
		t.Fatal(err)
	}
	second := signInTo(t, idp, p, ana)
	if len(keysOf(t, b)) != 2 {
		t.Fatalf("the records are %q", keysOf(t, b))
	}
	if _, err := p.User(t.Context(), ana); !errors.Is(err, core.ErrAmbiguous) {
		t.Errorf("the user of that name: %v, want ErrAmbiguous", err)
	}
	for _, id := range []string{before, second.User().HomeAccountID} {
		if token, err := p.Account(id).TokenSource().Token(t.Context()); err != nil || token.HomeAccountID != id {
			t.Errorf("%s: a token of %q: %v", id, token.HomeAccountID, err)
		}
	}
}

func TestLetterCaseMakesNoOtherUser(t *testing.T) {
	idp, b := start(t), newBackend(t)
	id := signInTo(t, idp, newApp(t, idp, b, account.Config{}), ana).User().HomeAccountID
	if _, err := newApp(t, idp, b, account.Config{}).Account(strings.ToUpper(id)).TokenSource().Token(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestACapabilityIsDeclared(t *testing.T) {
	idp := start(t)
	var claims []string
	p := newApp(t, idp, newBackend(t), account.Config{Capabilities: []string{"cp1"}, HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			raw, err := io.ReadAll(body)
			if err != nil {
				return nil, err
			}
			form, err := url.ParseQuery(string(raw))
			if err != nil {
				return nil, err
			}
			claims = append(claims, form.Get("claims"))
		}
		return idp.HTTPClient().Transport.RoundTrip(req)
	})}})
	if _, err := signInTo(t, idp, p, ana).TokenSource().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(claims) != 2 || !strings.Contains(claims[0], "cp1") || !strings.Contains(claims[1], "cp1") {
		t.Errorf("the claims sent are %q", claims)
	}
	if _, err := p.DeviceCode(t.Context(), approve(idp, ana)); err != nil {
		t.Fatal(err)
	}
	if last := claims[len(claims)-1]; !strings.Contains(last, "cp1") {
		t.Errorf("the claims sent with a device code are %q", last)
	}
}

func TestAMissingConsentIsToldWithWhoCanGiveIt(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	a := signInTo(t, idp, p, ana)
	if err := idp.AddClient(entra.Client{ID: entra.PublicClient, AdminOnly: true}); err != nil {
		t.Fatal(err)
	}
	flow, redirect := visit(t, idp, p, bo, account.AuthOptions{})
	if _, err := p.SignIn(t.Context(), flow, redirect); err == nil || !strings.Contains(err.Error(), "an administrator must agree") {
		t.Errorf("at the sign-in page: %v", err)
	}
	if _, err := p.DeviceCode(t.Context(), approve(idp, bo)); err == nil || !strings.Contains(err.Error(), "the user must agree") {
		t.Errorf("by device code: %v", err)
	}
	if err := a.Refresh(t.Context()); !errors.Is(err, core.ErrReauthRequired) || !strings.Contains(err.Error(), "the user must agree") {
		t.Errorf("at a refresh: %v", err)
	}
	if got := keysOf(t, b); len(got) != 1 {
		t.Errorf("the records are %q", got)
	}
}

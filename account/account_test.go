package account_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const (
	ana = entra.Ana
	bo  = "bo@contoso.com"
	key = "tokens"
)

func start(t *testing.T) *entra.Server {
	t.Helper()
	return entra.Start(t, entra.Options{Strict: true, Users: []entra.User{{Username: ana}, {Username: bo}}})
}

func newBackend(t *testing.T) core.TokenBackend {
	t.Helper()
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newAccount(t *testing.T, idp *entra.Server, b core.TokenBackend, cfg account.Config) *account.Account {
	t.Helper()
	if cfg.ClientID == "" {
		cfg.ClientID = entra.PublicClient
	}
	if cfg.Scopes == nil && !cfg.App {
		cfg.Scopes = []string{"User.Read", "offline_access"}
	}
	cfg.HTTPClient = idp.HTTPClient()
	a, err := account.New(core.NewStore(b), key, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signIn goes through the two steps as a user with a console would.
func signIn(t *testing.T, idp *entra.Server, a *account.Account, username string) tokencache.Account {
	t.Helper()
	address, flow, err := a.AuthURL(t.Context(), account.AuthOptions{LoginHint: username})
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SignIn(t.Context(), flow, " "+redirect+"\n"); err != nil {
		t.Fatal(err)
	}
	return a.User()
}

func TestAUserSignsInAndTheTokenIsThere(t *testing.T) {
	for name, cfg := range map[string]account.Config{
		"public":       {},
		"confidential": {ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret)},
		"one tenant":   {Tenant: entra.Tenant},
	} {
		t.Run(name, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			a := newAccount(t, idp, b, cfg)
			if who := signIn(t, idp, a, ana); who.Username != ana {
				t.Errorf("signed in as %q, want %s", who.Username, ana)
			}
			before, err := a.TokenSource().Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n := idp.Grants().RefreshesSucceeded; n != 0 {
				t.Errorf("the fresh token was refreshed %d times", n)
			}
			// As another process would.
			after, err := newAccount(t, idp, b, cfg).TokenSource("User.Read", "openid").Refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if after.Secret == before.Secret {
				t.Error("the forced refresh gave the old token")
			}
		})
	}
}

func TestASecondUserJoinsTheRecord(t *testing.T) {
	idp, b := start(t), newBackend(t)
	signIn(t, idp, newAccount(t, idp, b, account.Config{}), ana)
	before, _, err := core.NewStore(b).Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	signIn(t, idp, newAccount(t, idp, b, account.Config{}), bo)
	after, _, err := core.NewStore(b).Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after.Accounts()); n != 2 {
		t.Fatalf("the record has %d accounts, want 2", n)
	}
	q := tokencache.Query{Username: ana}
	was, _ := before.RefreshToken(q)
	is, _ := after.RefreshToken(q)
	if is.Secret != was.Secret {
		t.Error("Ana's refresh token changed when Bo signed in")
	}
	for _, username := range []string{ana, bo} {
		if _, err := newAccount(t, idp, b, account.Config{Username: username}).TokenSource().Token(t.Context()); err != nil {
			t.Errorf("%s: %v", username, err)
		}
	}
	if _, err := newAccount(t, idp, b, account.Config{}).TokenSource().Token(t.Context()); !errors.Is(err, core.ErrAmbiguous) {
		t.Errorf("without a name the token gives %v, want ErrAmbiguous", err)
	}
}

func TestASignInUsesTheKeysOfTheLibraryThatTheConfigNames(t *testing.T) {
	for library, end := range map[tokencache.Library]string{
		tokencache.MSALGo:   "-login.microsoftonline.com-refreshtoken-" + entra.PublicClient,
		tokencache.MSALNode: "-login.windows.net-refreshtoken-" + entra.PublicClient + "---",
		tokencache.MSALJava: "-login.windows.net-refreshtoken-" + entra.PublicClient + "--",
	} {
		idp, b := start(t), newBackend(t)
		who := signIn(t, idp, newAccount(t, idp, b, account.Config{Library: library}), ana)
		rec, err := b.Load(t.Context(), "tokens")
		if err != nil {
			t.Fatal(err)
		}
		if want := `"` + who.HomeAccountID + end + `":{`; !strings.Contains(string(rec.Data), want) {
			t.Errorf("no key is %s in %s", want, string(rec.Data))
		}
	}
}

func TestASignOutOfOneUserLeavesTheOther(t *testing.T) {
	idp, b := start(t), newBackend(t)
	signIn(t, idp, newAccount(t, idp, b, account.Config{}), ana)
	signIn(t, idp, newAccount(t, idp, b, account.Config{}), bo)
	if err := newAccount(t, idp, b, account.Config{}).SignOut(t.Context()); !errors.Is(err, core.ErrAmbiguous) {
		t.Errorf("without a name signing out gives %v, want ErrAmbiguous", err)
	}
	a := newAccount(t, idp, b, account.Config{Username: ana})
	if err := a.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.TokenSource().Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("after signing out the token gives %v, want ErrReauthRequired", err)
	}
	if err := a.SignOut(t.Context()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("signing out twice gives %v, want ErrNotFound", err)
	}
	if _, err := newAccount(t, idp, b, account.Config{Username: bo}).TokenSource().Token(t.Context()); err != nil {
		t.Errorf("Bo: %v", err)
	}
}

func TestSigningOutOfNothingStoresNothing(t *testing.T) {
	idp, b := start(t), newBackend(t)
	if err := newAccount(t, idp, b, account.Config{}).SignOut(t.Context()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the error is %v, want ErrNotFound", err)
	}
	if found, err := b.Check(t.Context(), key); found || err != nil {
		t.Errorf("a record was made: %v, %v", found, err)
	}
}

func TestAnApplicationSignsItselfIn(t *testing.T) {
	idp, b := start(t), newBackend(t)
	cfg := account.Config{ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret), Tenant: entra.Tenant, App: true}
	a := newAccount(t, idp, b, cfg)
	if err := a.Authenticate(t.Context(), nil, account.AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := newAccount(t, idp, b, cfg).TokenSource().Token(t.Context()); err != nil {
		t.Error(err)
	}
	if n := idp.Grants().ByType[entra.ClientCredentials].Received; n != 1 {
		t.Errorf("%d requests for tokens: the stored token is not the one of the sign-in", n)
	}
	if _, _, err := a.AuthURL(t.Context(), account.AuthOptions{}); err == nil {
		t.Error("an application was sent to the sign-in page")
	}
	if err := a.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg.Credential = account.Secret("wrong-canary")
	err := newAccount(t, idp, b, cfg).Authenticate(t.Context(), nil, account.AuthOptions{})
	var refusal *msal.Error
	if !errors.As(err, &refusal) || refusal.Code != "invalid_client" || strings.Contains(fmt.Sprintf("%+v %#v", err, refusal), "wrong-canary") {
		t.Errorf("a wrong secret gives %v", err)
	}
}

func TestAFlowSurvivesTheProcess(t *testing.T) {
	idp, b := start(t), newBackend(t)
	address, flow, err := newAccount(t, idp, b, account.Config{}).AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := flow.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := account.ParseFlow(data)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.State() != flow.State() {
		t.Error("the state changed")
	}
	if err := newAccount(t, idp, b, account.Config{}).SignIn(t.Context(), parsed, redirect); err != nil {
		t.Error(err)
	}
}

func TestAFlowShowsNoSecrets(t *testing.T) {
	idp := start(t)
	_, flow, err := newAccount(t, idp, newBackend(t), account.Config{}).AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := flow.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]any
	if err := json.Unmarshal(data, &stored); err != nil {
		t.Fatal(err)
	}
	secret, _ := stored["code_verifier"].(string)
	if len(secret) < 43 {
		t.Fatalf("the verifier has %d characters, RFC 7636 wants 43", len(secret))
	}
	report, err := json.Marshal(map[string]any{"flow": flow})
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(report)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		shown = append(shown, fmt.Sprintf(verb, flow), fmt.Sprintf(verb, &flow), fmt.Sprintf(verb, []account.Flow{flow}), fmt.Sprintf(verb, struct{ hidden account.Flow }{flow}))
	}
	for _, text := range shown {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("the verifier shows: %s", text)
		}
	}
}

func TestARedirectOfAnotherFlowIsRefused(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	address, flow, err := a.AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := a.AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, attempt := range map[string]struct {
		flow     account.Flow
		redirect string
		want     error
	}{
		"of another flow":    {other, redirect, account.ErrStateMismatch},
		"of no flow":         {account.Flow{}, redirect, account.ErrStateMismatch},
		"without a state":    {flow, "https://host/?code=canary", account.ErrStateMismatch},
		"without a code":     {flow, "https://host/?state=" + flow.State(), nil},
		"nothing at all":     {flow, "", nil},
		"what is no address": {flow, "co%zzde=canary", nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := a.SignIn(t.Context(), attempt.flow, attempt.redirect)
			if err == nil || attempt.want != nil && !errors.Is(err, attempt.want) {
				t.Errorf("the error is %v, want %v", err, attempt.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the code shows: %v", err)
			}
		})
	}
	if n := idp.Grants().Total.Received; n != 0 {
		t.Errorf("%d of these codes were sent to the provider", n)
	}
	if err := a.SignIn(t.Context(), flow, redirect); err != nil {
		t.Errorf("the right redirect after the wrong ones: %v", err)
	}
	u, err := url.Parse(redirect)
	if err != nil {
		t.Fatal(err)
	}
	err = a.SignIn(t.Context(), flow, redirect)
	if !errors.Is(err, account.ErrFlowUsed) || strings.Contains(err.Error(), u.Query().Get("code")) {
		t.Errorf("the code, used twice, gives %v", err)
	}
}

func TestAUserWhoDeclinesIsAnError(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	address, flow, err := a.AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignIn(address + "&error=1")
	if err != nil {
		t.Fatal(err)
	}
	err = a.SignIn(t.Context(), flow, redirect)
	var refusal *msal.Error
	if !errors.As(err, &refusal) || refusal.Code != "access_denied" {
		t.Errorf("the error is %v", err)
	}
}

func TestALoopbackSignInReturnsTheUserAndStoresTheTokens(t *testing.T) {
	idp, b := start(t), newBackend(t)
	a := newAccount(t, idp, b, account.Config{})
	done := make(chan error, 1)
	err := a.Authenticate(t.Context(), account.Loopback(func(address string) error {
		go func() { done <- idp.Browse(address) }()
		return nil
	}), account.AuthOptions{LoginHint: bo})
	if err != nil || a.User().Username != bo {
		t.Fatalf("signed in as %q: %v", a.User().Username, err)
	}
	if err := <-done; err != nil {
		t.Errorf("the browser: %v", err)
	}
	if _, err := a.TokenSource().Token(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoopbackTurnsStrangersAway(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	done := make(chan error, 1)
	err := a.Authenticate(t.Context(), account.Loopback(func(address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		q := u.Query()
		if q.Get("response_mode") != "form_post" || q.Get("code_challenge_method") != "S256" || q.Get("prompt") != "select_account" {
			t.Errorf("the address asks for %v", q)
		}
		home := q.Get("redirect_uri")
		if !strings.HasPrefix(home, "http://localhost:") {
			t.Errorf("the redirect is %s, Entra wants http://localhost", home)
		}
		go func() {
			for _, visit := range []string{"/", "/?code=x&state=y", "/?error=access_denied", "/favicon.ico", "/other?code=x"} {
				resp, err := http.Get(home + visit)
				if err != nil {
					t.Error(err)
					continue
				}
				if resp.StatusCode < 400 {
					t.Errorf("%s is answered %s", visit, resp.Status)
				}
				_ = resp.Body.Close()
			}
			done <- idp.Browse(address)
		}()
		return nil
	}), account.AuthOptions{})
	if err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLoopbackEndsWithItsContext(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	err := a.Authenticate(ctx, account.Loopback(func(string) error { cancel(); return nil }), account.AuthOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
	failed := errors.New("no browser")
	err = a.Authenticate(t.Context(), account.Loopback(func(string) error { return failed }), account.AuthOptions{})
	if !errors.Is(err, failed) {
		t.Errorf("the error is %v, want that of Open", err)
	}
}

// The code is spent by then: the tokens must not be lost to a Ctrl-C.
func TestASignInIsSavedAfterItsCallerLeft(t *testing.T) {
	idp := start(t)
	b := &leaving{TokenBackend: newBackend(t)}
	a := newAccount(t, idp, b, account.Config{})
	address, flow, err := a.AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.leave = cancel
	if err := a.SignIn(ctx, flow, redirect); err != nil {
		t.Errorf("the sign-in was lost: %v", err)
	}
}

// leaving cancels the caller's context as soon as the record is asked for, and
// has one conflict up its sleeve.
type leaving struct {
	core.TokenBackend
	leave      context.CancelFunc
	conflicted bool
}

func (l *leaving) Load(ctx context.Context, key string) (core.Record, error) {
	if l.leave != nil {
		l.leave()
	}
	return l.TokenBackend.Load(ctx, key)
}

func (l *leaving) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if !l.conflicted {
		l.conflicted = true
		return "", core.ErrConflict
	}
	return l.TokenBackend.Save(ctx, key, rec)
}

func TestTheAuthorityAndTheTenantMakeOneAddress(t *testing.T) {
	for name, row := range map[string]struct {
		cfg  account.Config
		want string // "" for an error
	}{
		"nothing named":            {account.Config{}, "https://login.microsoftonline.com/common"},
		"a tenant":                 {account.Config{Tenant: "contoso.com"}, "https://login.microsoftonline.com/contoso.com"},
		"a host":                   {account.Config{Authority: "https://idp.example.com:8443"}, "https://idp.example.com:8443/common"},
		"a host and a tenant":      {account.Config{Authority: "https://idp.example.com/", Tenant: "t"}, "https://idp.example.com/t"},
		"both in one":              {account.Config{Authority: "https://idp.example.com/t"}, "https://idp.example.com/t"},
		"both, and the same again": {account.Config{Authority: "https://idp.example.com/t", Tenant: "T"}, "https://idp.example.com/t"},
		"two tenants":              {account.Config{Authority: "https://idp.example.com/t", Tenant: "u"}, ""},
		"plain http":               {account.Config{Authority: "http://idp.example.com/t"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			row.cfg.ClientID, row.cfg.DisableInstanceDiscovery = "app", true
			row.cfg.HTTPClient = &http.Client{Transport: discovery{}}
			a, err := account.New(core.NewStore(newBackend(t)), key, row.cfg)
			if row.want == "" {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = a.AuthURL(t.Context(), account.AuthOptions{})
			var asked *url.Error
			if !errors.As(err, &asked) || !strings.HasPrefix(asked.URL, row.want+"/v2.0/") {
				t.Errorf("the provider asked is %v, want %s", err, row.want)
			}
		})
	}
}

// discovery fails, and its error says what was asked for.
type discovery struct{}

func (discovery) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

func TestNewTellsWhatIsWrong(t *testing.T) {
	store := core.NewStore(newBackend(t))
	for name, build := range map[string]func() (*account.Account, error){
		"no store":     func() (*account.Account, error) { return account.New(nil, key, account.Config{ClientID: "x"}) },
		"no key":       func() (*account.Account, error) { return account.New(store, "", account.Config{ClientID: "x"}) },
		"no client ID": func() (*account.Account, error) { return account.New(store, key, account.Config{}) },
		"an app with no secret": func() (*account.Account, error) {
			return account.New(store, key, account.Config{ClientID: "x", App: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := build(); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestAnAccountShowsNoSecret(t *testing.T) {
	cfg := account.Config{ClientID: "app", Credential: account.Secret("secret-canary"), Tenant: "t", App: true}
	a, err := account.New(core.NewStore(newBackend(t)), key, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", a, a, a), fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg)} {
		if strings.Contains(text, "secret-canary") {
			t.Errorf("the secret shows: %s", text)
		}
	}
}

func TestTheConfigIsCopied(t *testing.T) {
	idp, scopes := start(t), []string{"User.Read"}
	a := newAccount(t, idp, newBackend(t), account.Config{Scopes: scopes})
	scopes[0] = "Mail.Send"
	address, _, err := a.AuthURL(t.Context(), account.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	asked := strings.Fields(u.Query().Get("scope"))
	slices.Sort(asked)
	if want := []string{"User.Read", "offline_access", "openid", "profile"}; !slices.Equal(asked, want) {
		t.Errorf("the scopes asked for are %v, want %v", asked, want)
	}
}

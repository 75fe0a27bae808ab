package account_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// byPrompt is a Prompt that is a function.
type byPrompt func(ctx context.Context, t *account.Attempt) error

func (f byPrompt) SignIn(ctx context.Context, t *account.Attempt) error { return f(ctx, t) }

// In whichever way a user signs in: one user's tokens never come to an account that is
// another's.
func TestAnAccountOfOneUserTakesNoOtherUsersSignIn(t *testing.T) {
	ctx := t.Context()
	finish := func(idp *entra.Server, a *account.Account, address string, flow account.Flow, err error) error {
		if err != nil {
			return err
		}
		redirect, err := idp.SignInAs(bo, address)
		if err != nil {
			return err
		}
		return a.SignIn(ctx, flow, redirect)
	}
	for what, signBoIn := range map[string]func(idp *entra.Server, p *account.App, anas, bos *account.Account) error{
		"by a flow of the account": func(idp *entra.Server, _ *account.App, anas, _ *account.Account) error {
			address, flow, err := anas.AuthURL(ctx, account.AuthOptions{})
			return finish(idp, anas, address, flow, err)
		},
		"by a flow of the App": func(idp *entra.Server, p *account.App, anas, _ *account.Account) error {
			address, flow, err := p.AuthURL(ctx, account.AuthOptions{})
			return finish(idp, anas, address, flow, err)
		},
		"by a flow of the other user's account": func(idp *entra.Server, _ *account.App, anas, bos *account.Account) error {
			address, flow, err := bos.AuthURL(ctx, account.AuthOptions{})
			return finish(idp, anas, address, flow, err)
		},
		"by device code": func(idp *entra.Server, _ *account.App, anas, _ *account.Account) error {
			return anas.Authenticate(ctx, byPrompt(func(ctx context.Context, t *account.Attempt) error {
				return t.DeviceCode(ctx, approve(idp, bo))
			}), account.AuthOptions{})
		},
		"by password": func(_ *entra.Server, _ *account.App, anas, _ *account.Account) error {
			return anas.Authenticate(ctx, byPrompt(func(ctx context.Context, t *account.Attempt) error {
				return t.Password(ctx, bo, entra.UserPassword)
			}), account.AuthOptions{})
		},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			p := newApp(t, idp, b, account.Config{Tenant: entra.Tenant})
			anas, bos := signInTo(t, idp, p, ana), signInTo(t, idp, p, bo)
			before := keysOf(t, b)
			if err := signBoIn(idp, p, anas, bos); !errors.Is(err, account.ErrOtherUser) {
				t.Errorf("the error is %v, want ErrOtherUser", err)
			}
			if who := anas.User().Username; who != ana {
				t.Errorf("the account of %s means %s", ana, who)
			}
			if names, err := anas.Usernames(t.Context()); err != nil || !slices.Equal(names, []string{ana}) {
				t.Errorf("the record of %s has tokens of %q: %v", ana, names, err)
			}
			if got := keysOf(t, b); !slices.Equal(got, before) {
				t.Errorf("the records are %q, were %q", got, before)
			}
		})
	}
}

func TestAnAccountThatNamesItsUserGoesOnNamingThatUser(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{}).As(ana)
	signIn(t, idp, a, ana)
	flow, redirect := begin(t, idp, a, bo)
	if err := a.SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrOtherUser) {
		t.Errorf("the error is %v, want ErrOtherUser", err)
	}
}

func TestACallbackThatComesAgainIsRefusedByEveryAccountOfTheProcess(t *testing.T) {
	idp, b := start(t), newBackend(t)
	a := newAccount(t, idp, b, account.Config{})
	flow, redirect := begin(t, idp, a, ana)
	if err := a.SignIn(t.Context(), flow, redirect); err != nil {
		t.Fatal(err)
	}
	// A web application may make the account anew for each request.
	if err := newAccount(t, idp, b, account.Config{}).SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrFlowUsed) {
		t.Errorf("the error is %v, want ErrFlowUsed", err)
	}
	if n := idp.Grants().ByType[entra.AuthorizationCode].Received; n != 1 {
		t.Errorf("the code was sent %d times", n)
	}
}

func TestACodeWithoutAnIDTokenSignsNobodyIn(t *testing.T) {
	idp, b := start(t), newBackend(t)
	client := idp.HTTPClient()
	base := client.Transport
	client.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if err != nil || req.Method != http.MethodPost {
			return resp, err
		}
		defer resp.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return nil, err
		}
		delete(answer, "id_token")
		text, err := json.Marshal(answer)
		return reply(req, string(text)), err
	})
	p := newApp(t, idp, b, account.Config{HTTPClient: client})
	flow, redirect := visit(t, idp, p, ana, account.AuthOptions{})
	if _, err := p.SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrStateMismatch) {
		t.Errorf("the error is %v, want ErrStateMismatch", err)
	}
	if got := keysOf(t, b); len(got) != 0 {
		t.Errorf("the records are %q", got)
	}
}

// Of every user's last call, a sign-in or a sign-out, the result is in the store.
func TestSignInsAndSignOutsOfManyUsersDisturbNobodyElse(t *testing.T) {
	const users = 40
	var all []entra.User
	for i := range users {
		all = append(all, entra.User{Username: fmt.Sprintf("user%d@contoso.com", i)})
	}
	idp, b := entra.Start(t, entra.Options{Strict: true, Users: all}), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	var wg sync.WaitGroup
	for i, user := range all {
		wg.Go(func() {
			for turn := range 3 {
				address, flow, err := p.AuthURL(t.Context(), account.AuthOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				redirect, err := idp.SignInAs(user.Username, address)
				if err != nil {
					t.Error(err)
					return
				}
				a, err := p.SignIn(t.Context(), flow, redirect)
				if err != nil || a.User().Username != user.Username {
					t.Errorf("%s signed in as %+v: %v", user.Username, a, err)
					return
				}
				if turn < 2 || i%2 == 0 {
					if err := p.Account(a.User().HomeAccountID).SignOut(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	names, err := p.Usernames(t.Context())
	if err != nil || len(names) != users/2 || len(keysOf(t, b)) != users/2 {
		t.Errorf("%d users are signed in, in %d records, want %d: %v", len(names), len(keysOf(t, b)), users/2, err)
	}
}

// A session has no home account ID before its user signs in.
func TestAnAccountWithoutAnIDIsNobodys(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	signInTo(t, idp, p, ana)
	a := p.Account("")
	if who := a.User(); who != (tokencache.Account{}) {
		t.Errorf("the user is %+v", who)
	}
	if ok, err := a.IsAuthenticated(t.Context()); ok || err != nil {
		t.Errorf("is authenticated: %v, %v", ok, err)
	}
	if _, err := a.HTTPClient().Get("https://graph.microsoft.com/v1.0/me"); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("the error is %v, want ErrReauthRequired", err)
	}
	if err := a.SignOut(t.Context()); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("signing out: %v, want ErrNotFound", err)
	}
	flow, redirect := visit(t, idp, p, bo, account.AuthOptions{})
	if err := a.SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrOtherUser) {
		t.Errorf("signing in: %v, want ErrOtherUser", err)
	}
	if got := keysOf(t, b); len(got) != 1 {
		t.Errorf("the records are %q", got)
	}
}

func TestLetterCaseMakesNoOtherApplication(t *testing.T) {
	idp, b := start(t), newBackend(t)
	for _, cfg := range []account.Config{
		{ClientID: entra.ConfidentialClient, Tenant: "contoso.com"},
		{ClientID: strings.ToUpper(entra.ConfidentialClient), Tenant: "Contoso.com"},
	} {
		cfg.Credential, cfg.App, cfg.HTTPClient = account.Secret(entra.ConfidentialSecret), true, idp.HTTPClient()
		p, err := account.NewApp(core.NewStore(b), cfg)
		if err != nil {
			t.Fatal(err)
		}
		itself, err := p.Application()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := itself.TokenSource().Token(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := keysOf(t, b); len(got) != 1 || idp.Grants().ByType[entra.ClientCredentials].Received != 1 {
		t.Errorf("the records are %q, and the provider was asked %d times", got, idp.Grants().ByType[entra.ClientCredentials].Received)
	}
}

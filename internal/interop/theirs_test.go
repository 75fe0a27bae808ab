package interop

import (
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/interop/peers/msalgo"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// These tests keep docs/other-msals.md true. Where one of them fails because a
// library does better than it says, the page is to be changed.

func named(t *testing.T, name string) library {
	t.Helper()
	for _, l := range libraries {
		if l.name == name {
			return l
		}
	}
	t.Fatalf("there is no library %q", name)
	return library{}
}

// requests are the token requests that f sends.
func (p place) requests(f func()) int {
	before := p.idp.Grants().Total.Received
	f()
	return p.idp.Grants().Total.Received - before
}

func TestTheOtherLibrariesFindTheAccessTokenOfOurSignIn(t *testing.T) {
	for _, l := range libraries {
		for tenant, found := range map[string]bool{entra.Tenant: true, "common": l.name != "MSAL Node"} {
			t.Run(l.name+", "+tenant, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				us, them := p.ours(t, tenant), p.theirs(t, l, tenant)
				if err := us.signIn(t); err != nil {
					t.Fatal(err)
				}
				want, err := us.look(t)
				if err != nil {
					t.Fatal(err)
				}
				var got string
				n := p.requests(func() { got, err = them.token(t) })
				if err != nil || (got == want && n == 0) != found {
					t.Errorf("found: %t after %d requests, want %t (%v)", got == want, n, found, err)
				}
			})
		}
	}
}

func TestTheOtherLibrariesSeeOurSignOut(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			us, them := p.ours(t, "common"), p.theirs(t, l, "common")
			if err := us.signIn(t); err != nil {
				t.Fatal(err)
			}
			if _, err := them.token(t); err != nil {
				t.Fatal(err)
			}
			err := us.store.Update(t.Context(), record, func(c *tokencache.Cache) error {
				c.Remove(tokencache.Query{Username: entra.Ana})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if l.name == "MSAL for Java" {
				// Its deserialize adds to what is in the process, and takes nothing away: while the
				// process lives on it goes on, and stores the tokens again when it refreshes.
				if _, err := them.refresh(t); err != nil {
					t.Errorf("it sees a sign-out now: %v", err)
				}
				if d := p.document(t); len(d["Account"]) == 0 || len(d["RefreshToken"]) == 0 {
					t.Error("it no longer undoes a sign-out")
				}
				return
			}
			if token, err := them.refresh(t); err == nil {
				t.Errorf("it goes on, with the token %.20s…", token)
			}
			if d := p.document(t); len(d["RefreshToken"]) != 0 {
				t.Error("the refresh token is back")
			}
		})
	}
}

func TestTheOtherLibrariesAndThisCollectionFindAnApplicationsToken(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			them := p.theirs(t, l, entra.Tenant)
			secret, err := confidential.NewCredFromSecret(entra.ConfidentialSecret)
			if err != nil {
				t.Fatal(err)
			}
			client, err := msal.NewConfidential(entra.ConfidentialClient, secret, msal.WithAuthority(host+entra.Tenant), msal.WithHTTPClient(p.idp.HTTPClient()))
			if err != nil {
				t.Fatal(err)
			}
			ours := func() string {
				t.Helper()
				q := tokencache.Query{App: true, ClientID: entra.ConfidentialClient, Scopes: []string{"https://graph.microsoft.com/.default"}}
				var at tokencache.AccessToken
				at, err = p.ours(t, entra.Tenant).store.TokenSource(record, q, client.Refresh).Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return at.Secret.Reveal()
			}
			theirs := func() string {
				t.Helper()
				a, err := them.ask(t, msalgo.Command{Do: "application"})
				if err != nil {
					t.Fatal(err)
				}
				return a.Token
			}
			first := ours()
			if found, want := theirs() == first, l.name != "MSAL Node"; found != want {
				t.Errorf("it finds ours: %t, want %t", found, want)
			}
			if ours() != theirs() {
				t.Error("of the two tokens that are there, each takes another")
			}
		})
	}
}

// Without this collection, each of the others adds a refresh token of its own
// beside those it can't replace, and takes one of them by a rule of its own.
func TestOtherLibrariesSpendEachOthersTokensWithoutThisCollection(t *testing.T) {
	p := newPlace(t)
	p.idp.SetLifetime(fewMinutes)
	parties := map[string]party{
		"p": p.theirs(t, named(t, "MSAL Python"), "common"),
		"n": p.theirs(t, named(t, "MSAL Node"), "common"),
		"j": p.theirs(t, named(t, "MSAL for Java"), "common"),
		"o": p.ours(t, "common"),
	}
	for _, order := range []string{strings.Repeat("pnj", 27)[:80], strings.Repeat("pnjo", 20)} {
		if err := parties["p"].signIn(t); err != nil {
			t.Fatal(err)
		}
		before, failed := p.idp.Grants().ReuseDetected, 0
		for _, who := range strings.Split(order, "") {
			if _, err := parties[who].token(t); err != nil {
				failed++
				if err := parties["p"].signIn(t); err != nil {
					t.Fatal(err)
				}
			}
		}
		reused := p.idp.Grants().ReuseDetected - before
		t.Logf("%s: %d of %d turns failed, %d refresh tokens were sent again", order[:4], failed, len(order), reused)
		if reused == 0 {
			t.Errorf("the turns %s need no word of warning any more", order[:4])
		}
	}
}

func TestPythonO365RefreshesNoTokenThatAnotherLibraryThanMSALPythonFiledLast(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.idp.SetLifetime(fewMinutes)
			them, python := p.theirs(t, l, "common"), p.pythonO365(t, p.inFile(), "")
			if err := them.signIn(t); err != nil {
				t.Fatal(err)
			}
			var err error
			n := p.requests(func() { _, err = python.token(t) })
			if refreshes := err == nil && n == 1; refreshes != (l.name == "MSAL Python") {
				t.Errorf("python-o365 refreshes: %t, after %d requests (%v)", refreshes, n, err)
			}
		})
	}
}

// python-o365 reads its place once in its life, unless the program has it read again.
func TestAPythonO365ThatLivesOnSpendsTheTokenThatWeSpent(t *testing.T) {
	p := newPlace(t)
	p.idp.SetLifetime(fewMinutes)
	us, python := p.ours(t, "common"), p.pythonO365(t, p.inFile(), "")
	if _, _, err := python.do(t, "sign in"); err != nil {
		t.Fatal(err)
	}
	if _, err := us.token(t); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"reload", "refresh"} {
		if _, _, err := python.do(t, what); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if _, err := us.refresh(t); err != nil {
		t.Fatal(err)
	}
	if _, _, err := python.do(t, "refresh"); err == nil || p.idp.Grants().ReuseDetected != 1 {
		t.Errorf("python-o365 reads its place again: %v", err)
	}
}

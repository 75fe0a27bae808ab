package pairing

import (
	"context"
	"net/url"
	"sync"
	"testing"

	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	xoauth2 "golang.org/x/oauth2"
)

// Entra's own flows, by golang.org/x/oauth2 alone, with single-use refresh tokens.
func TestEntrasTokensAreRefreshedOnceByMany(t *testing.T) {
	idp := entra.Start(t, entra.Options{Strict: true})
	cfg := &xoauth2.Config{
		ClientID: entra.PublicClient, RedirectURL: "http://localhost:8400", Scopes: []string{"openid", "profile", "offline_access", "User.Read"},
		Endpoint: xoauth2.Endpoint{
			AuthURL:  "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
			TokenURL: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
		},
	}
	ctx := context.WithValue(t.Context(), xoauth2.HTTPClient, idp.HTTPClient())
	verifier := xoauth2.GenerateVerifier()
	redirect, err := idp.SignInAs(entra.Ana, cfg.AuthCodeURL("state", xoauth2.S256ChallengeOption(verifier)))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(redirect)
	if err != nil {
		t.Fatal(err)
	}
	token, err := cfg.Exchange(ctx, u.Query().Get("code"), xoauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	backend, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	newClient := func() *oauth2.Client {
		client, err := oauth2.New(core.NewStore(backend), "ana", cfg)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	if err := newClient().Put(ctx, token); err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 5; round++ {
		idp.RevokeAccess(entra.Ana) // no token that was given is good any longer
		var wg sync.WaitGroup
		for range 16 {
			api := newClient().HTTPClient(ctx)
			wg.Go(func() {
				resp, err := api.Get("https://graph.microsoft.com/v1.0/me")
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("round %d: %s", round, resp.Status)
				}
			})
		}
		wg.Wait()
		if asked := idp.Grants().ByType["refresh_token"].Received; asked != round {
			t.Fatalf("after %d rounds the provider was asked %d times", round, asked)
		}
	}
}

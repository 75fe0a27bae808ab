package account_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// BenchmarkUsersWhoseTokensExpireAtOnce is a service after a night: all users ask for a
// token at once, and the provider takes 100 ms for a request and 50 requests at a time.
func BenchmarkUsersWhoseTokensExpireAtOnce(b *testing.B) {
	const users, latency, atOnce = 1000, 100 * time.Millisecond, 50
	places := make(chan struct{}, atOnce)
	provider := roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodGet {
			return at("idp.example.com", "").RoundTrip(req)
		}
		places <- struct{}{}
		defer func() { <-places }()
		time.Sleep(latency)
		return reply(req, `{"access_token":"fresh","refresh_token":"next","expires_in":3600,"scope":"User.Read"}`), nil
	})
	for b.Loop() {
		b.StopTimer()
		backend, err := memory.New(memory.Options{})
		if err != nil {
			b.Fatal(err)
		}
		store := core.NewStore(backend)
		p, err := account.NewApp(store, account.Config{
			ClientID: "app", Authority: "https://idp.example.com/t", DisableInstanceDiscovery: true, Scopes: []string{"User.Read"}, HTTPClient: &http.Client{Transport: provider},
		})
		if err != nil {
			b.Fatal(err)
		}
		id := func(i int) string { return fmt.Sprintf("user-%d.t", i) }
		for i := range users {
			if _, err := store.Put(b.Context(), id(i), tokencache.TokenResponse{
				AccessToken: "old", RefreshToken: "rt", Scope: "User.Read", ExpiresIn: -60, ClientID: "app", Environment: "idp.example.com", Tenant: "t", HomeAccountID: id(i),
			}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		began := time.Now()
		var wg sync.WaitGroup
		for i := range users {
			wg.Go(func() {
				if token, err := p.Account(id(i)).TokenSource().Token(b.Context()); err != nil || token.Secret.Reveal() != "fresh" {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64(time.Since(began))/float64(users*latency/atOnce), "×ideal")
	}
}

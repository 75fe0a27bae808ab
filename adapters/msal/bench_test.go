package msal_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// BenchmarkRefresh measures a refresh without the network. MSAL Go with an accessor parses
// the whole record: 52 ms where 1,000 users share one.
func BenchmarkRefresh(b *testing.B) {
	for _, users := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			cache := tokencache.New()
			for i := range users {
				uid := fmt.Sprintf("uid%d", i)
				if err := cache.Put(tokencache.TokenResponse{
					AccessToken: strings.Repeat("a", 2000), RefreshToken: strings.Repeat("r", 1500), Scope: "User.Read",
					ExpiresIn: 3600, ClientID: "app", Environment: "idp.example.com", Tenant: "t",
					ClientInfo: base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"` + uid + `","utid":"utid"}`)),
					Sent:       time.Now(),
				}); err != nil {
					b.Fatal(err)
				}
			}
			info := base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"uid0","utid":"utid"}`))
			token := `{"access_token":"` + strings.Repeat("b", 2000) + `","refresh_token":"` + strings.Repeat("s", 1500) +
				`","token_type":"Bearer","expires_in":3600,"scope":"User.Read","client_info":"` + info + `"}`
			provider := roundTrip(func(req *http.Request) (*http.Response, error) {
				text := `{"token_endpoint":"https://idp.example.com/t/token","authorization_endpoint":"https://idp.example.com/t/authorize","issuer":"https://idp.example.com/t"}`
				if req.Method == http.MethodPost {
					text = token
				}
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
			})
			c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/t"),
				msal.WithHTTPClient(&http.Client{Transport: provider}), msal.WithInstanceDiscovery(false))
			if err != nil {
				b.Fatal(err)
			}
			r := core.Refresh{Query: tokencache.Query{HomeAccountID: "uid0.utid", Scopes: []string{"User.Read"}}}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Refresh(b.Context(), cache, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

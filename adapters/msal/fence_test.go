package msal

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/graphtoken/graphtoken/core"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Discovery can take long, and the process can freeze in it: the lease is looked
// at last of all.
func TestALostLeaseKeepsTheRefreshTokenBack(t *testing.T) {
	held, sent := true, 0
	provider := roundTripper(func(req *http.Request) (*http.Response, error) {
		text := `{"token_endpoint":"https://idp.example.com/t/token","authorization_endpoint":"https://idp.example.com/t/authorize","issuer":"https://idp.example.com/t"}`
		if req.Method == http.MethodPost {
			sent++
		}
		held = false // frozen in discovery
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
	})
	credential, err := confidential.NewCredFromSecret("secret")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConfidential("app", credential, WithAuthority("https://idp.example.com/t"),
		WithHTTPClient(&http.Client{Transport: provider}), WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.appToken(t.Context(), AppRequest{Scopes: []string{"https://graph.microsoft.com/.default"}}, func() bool { return held })
	if !errors.Is(err, core.ErrLeaseLost) || sent != 0 {
		t.Errorf("%d requests for tokens, and the error %v; want none, and ErrLeaseLost", sent, err)
	}
}

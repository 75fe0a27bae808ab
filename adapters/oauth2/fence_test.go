package oauth2

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"golang.org/x/oauth2"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// golang.org/x/oauth2 sends twice, to find out where the client's credentials belong, and the
// process can freeze before either: the lease is looked at right before each.
func TestALostLeaseKeepsTheRefreshTokenBack(t *testing.T) {
	for _, row := range []struct {
		that string
		held int // so many times the lease is held when it is asked for
	}{{"before the first request", 0}, {"before the second", 1}} {
		t.Run(row.that, func(t *testing.T) {
			sent, asked := 0, 0
			base := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				sent++
				return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":"invalid_client"}`)), Request: req}, nil
			})}
			x := &exchange{base: base, leaseHeld: func() bool { asked++; return asked <= row.held }}
			for range 2 {
				if resp, err := x.client().Post("https://idp.example.com/token", "", strings.NewReader("refresh_token=rt")); err == nil {
					_ = resp.Body.Close()
					continue
				} else if !errors.Is(x.explain(err), core.ErrLeaseLost) {
					t.Error(err)
				}
				break
			}
			if sent != row.held {
				t.Errorf("%d requests were sent, want %d", sent, row.held)
			}
		})
	}
}

// A process that slept over the answer must not trust a dead token.
func TestATokensLifeCountsFromWhenItWasAskedFor(t *testing.T) {
	c, err := New(core.NewStore(nil), "key", &oauth2.Config{ClientID: "client", Endpoint: oauth2.Endpoint{TokenURL: "https://idp.example.com/token"}})
	if err != nil {
		t.Fatal(err)
	}
	sent := time.Now().Add(-10 * time.Minute)
	r := c.response(&oauth2.Token{AccessToken: "at", Expiry: time.Now().Add(time.Hour)}, sent, "refresh_token", extra{})
	if r.ExpiresIn != 3600 || !r.Sent.Equal(sent) {
		t.Errorf("it lives %d seconds from %v", r.ExpiresIn, r.Sent)
	}
}

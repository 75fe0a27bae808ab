package msal_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const (
	ana       = entra.Ana
	bo        = "bo@contoso.com"
	common    = "https://login.microsoftonline.com/common"
	graphApp  = "https://graph.microsoft.com/.default"
	localhost = "http://localhost:8400"
)

var scopes = []string{"User.Read", "Mail.Read"}

var noCredential confidential.Credential

func start(t *testing.T, o entra.Options) *entra.Server {
	t.Helper()
	o.Strict = true
	if o.Users == nil {
		o.Users = []entra.User{{Username: ana}, {Username: bo}}
	}
	return entra.Start(t, o)
}

// wire notes what goes over an HTTP client, and lets a test change answers.
type wire struct {
	base http.RoundTripper
	edit func(*http.Request, *http.Response) error

	mu    sync.Mutex
	gets  []string
	forms []url.Values
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	var form url.Values
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		form, _ = url.ParseQuery(string(raw))
	}
	w.mu.Lock()
	if req.Method == http.MethodGet {
		w.gets = append(w.gets, req.URL.Path)
	} else {
		w.forms = append(w.forms, form)
	}
	edit := w.edit
	w.mu.Unlock()
	resp, err := w.base.RoundTrip(req)
	if err != nil || edit == nil {
		return resp, err
	}
	return resp, edit(req, resp)
}

func (w *wire) discoveries() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.gets)
}

func (w *wire) lastForm() url.Values {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.forms[len(w.forms)-1]
}

func (w *wire) onAnswer(edit func(*http.Request, *http.Response) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edit = edit
}

func body(resp *http.Response, text string) {
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(text))
	resp.ContentLength = int64(len(text))
}

func newWire(idp *entra.Server) *wire { return &wire{base: idp.HTTPClient().Transport} }

func public(t *testing.T, w *wire, authority string) *msal.Client {
	t.Helper()
	c, err := msal.NewPublic(entra.PublicClient, msal.WithAuthority(authority), msal.WithHTTPClient(&http.Client{Transport: w}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func private(t *testing.T, w *wire, authority string) *msal.Client {
	t.Helper()
	secret, err := confidential.NewCredFromSecret(entra.ConfidentialSecret)
	if err != nil {
		t.Fatal(err)
	}
	c, err := msal.NewConfidential(entra.ConfidentialClient, secret, msal.WithAuthority(authority), msal.WithHTTPClient(&http.Client{Transport: w}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signIn puts a user's tokens into the cache, by code and PKCE.
func signIn(t *testing.T, idp *entra.Server, c *msal.Client, cache *tokencache.Cache, username string) {
	t.Helper()
	if err := trySignIn(t.Context(), idp, c, cache, username); err != nil {
		t.Fatal(err)
	}
}

func trySignIn(ctx context.Context, idp *entra.Server, c *msal.Client, cache *tokencache.Cache, username string) error {
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	r := msal.CodeRequest{
		RedirectURL: localhost, Scopes: scopes, State: "state",
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), LoginHint: username,
	}
	address, err := c.AuthCodeURL(ctx, r)
	if err != nil {
		return err
	}
	redirect, err := idp.SignIn(address)
	if err != nil {
		return err
	}
	u, err := url.Parse(redirect)
	if err != nil {
		return err
	}
	if err := msal.Refusal(u.Query()); err != nil {
		return err
	}
	if u.Query().Get("state") != "state" {
		return errors.New("the state did not come back")
	}
	response, err := c.RedeemCode(ctx, r, tokencache.Secret(u.Query().Get("code")), tokencache.Secret(verifier))
	if err != nil {
		return err
	}
	return cache.Put(response)
}

func query(username string) tokencache.Query {
	return tokencache.Query{Username: username, Scopes: scopes}
}

func accessToken(t *testing.T, cache *tokencache.Cache, q tokencache.Query) tokencache.AccessToken {
	t.Helper()
	token, ok := cache.AccessToken(q)
	if !ok {
		t.Fatalf("no access token for %s", q.Username)
	}
	return token
}

func refreshToken(t *testing.T, cache *tokencache.Cache, q tokencache.Query) string {
	t.Helper()
	token, ok := cache.RefreshToken(q)
	if !ok {
		t.Fatalf("no refresh token for %s", q.Username)
	}
	return token.Secret.Reveal()
}

func document(t *testing.T, cache *tokencache.Cache) string {
	t.Helper()
	data, err := cache.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// mustNotShow fails if any way of printing err shows one of the secrets.
func mustNotShow(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, text := range []string{e.Error(), fmt.Sprintf("%v", e), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e)} {
			for _, secret := range secrets {
				if secret == "" || strings.Contains(text, secret) {
					t.Errorf("the secret %.8s… shows, or is empty: %.200s", secret, text)
				}
			}
		}
	}
}

// Package oauth2 keeps the tokens of golang.org/x/oauth2 in a [core.Store], for any
// provider. All processes together refresh once per expiry, and every refresh is stored.
//
//	client, err := oauth2.New(store, "ana", config) // an *oauth2.Config of golang.org/x/oauth2
//	if err != nil {
//		return err
//	}
//	token, err := config.Exchange(ctx, code) // once, at sign-in; or DeviceAccessToken
//	if err != nil {
//		return err
//	}
//	if err := client.Put(ctx, token); err != nil {
//		return err
//	}
//	resp, err := client.HTTPClient(ctx).Get("https://api.example.com/me")
//
// A record has the tokens of one user and one client. They are stored under a name made
// of the client's ID, because most providers don't tell who the user is.
package oauth2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"golang.org/x/oauth2"
)

// Client keeps the tokens of one user of one oauth2.Config. It is safe for concurrent
// use. A web server can make one per request, because that costs little.
type Client struct {
	store  *core.Store
	key    string
	config func() *oauth2.Config // a function, because code that prints by reflection can't look into one
	query  tokencache.Query
}

var _ core.RefreshFunc = (*Client)(nil).Refresh

// New returns the client that cfg describes. Its user's tokens are in the store's record
// under key. New does no I/O. The token endpoint must be an https address or on a
// loopback host, because refresh tokens are sent there.
//
// The client keeps cfg, which must not be changed from now on. golang.org/x/oauth2 notes
// in it where the provider wants the client's credentials, and clients that share it find
// that out once.
func New(store *core.Store, key string, cfg *oauth2.Config) (*Client, error) {
	if store == nil {
		return nil, errors.New("oauth2: the store is nil")
	}
	if err := core.ValidateKey(key); err != nil {
		return nil, fmt.Errorf("oauth2: %w", err)
	}
	if cfg == nil || cfg.ClientID == "" {
		return nil, errors.New("oauth2: the config has no client ID")
	}
	endpoint, err := url.Parse(cfg.Endpoint.TokenURL)
	if err != nil || endpoint.Host == "" {
		return nil, errors.New("oauth2: the config's token URL is malformed") // and is not quoted: a password may be in it
	}
	if endpoint.Scheme != "https" && (endpoint.Scheme != "http" || !bearer.Loopback(endpoint.Hostname())) {
		return nil, fmt.Errorf("oauth2: the token URL of %s must be https, because refresh tokens are sent there", core.Printable(endpoint.Host))
	}
	return &Client{
		store: store, key: key,
		config: func() *oauth2.Config { return cfg },
		query:  tokencache.Query{HomeAccountID: "oauth2-" + cfg.ClientID, ClientID: cfg.ClientID, Environment: endpoint.Host},
	}, nil
}

// Query returns the query of the client's tokens in a token cache. With it and Refresh, a
// program can make a [core.TokenSource] of its own.
func (c *Client) Query() tokencache.Query { return c.query }

// Put stores the token of a sign-in, from Config.Exchange or Config.DeviceAccessToken. It
// replaces the client's tokens in the record. A token that was kept elsewhere until now
// can be stored too, also if it has expired and has a refresh token.
//
// If t has no refresh token, the stored one stays: Google issues one at the first sign-in
// alone. There is one exception: both sign-ins have an ID token, and these name two
// users.
//
// From the call on, Put doesn't end with ctx. If the token could not be saved, Put
// returns [core.ErrRefreshedNotSaved]; the store keeps the token and uses it. Later calls
// for a token, or core.Store.Flush, save it.
func (c *Client) Put(ctx context.Context, t *oauth2.Token) error {
	if t == nil || t.AccessToken == "" {
		return errors.New("oauth2: put: the token has no access token")
	}
	r := c.response(t, time.Now(), "authorization_code", extra{})
	if t.RefreshToken == "" && r.IDToken != "" {
		if err := c.removeOther(ctx, r); err != nil {
			return fmt.Errorf("oauth2: put: %w", err)
		}
	}
	if _, err := c.store.Put(ctx, c.key, r); err != nil {
		return fmt.Errorf("oauth2: put: %w", err)
	}
	return nil
}

// removeOther removes the tokens of another user than r's. Otherwise that user's refresh
// token would stay beside r's access token.
func (c *Client) removeOther(ctx context.Context, r tokencache.TokenResponse) error {
	signedIn := tokencache.New()
	if err := signedIn.Put(r); err != nil {
		return err
	}
	user, _ := signedIn.Account(c.query)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), core.DefaultRefreshTimeout)
	defer cancel()
	return c.store.Update(ctx, c.key, func(cache *tokencache.Cache) error {
		known, _ := cache.Account(c.query)
		if _, told := cache.IDToken(c.query); told && known.LocalAccountID != user.LocalAccountID {
			cache.Remove(c.query)
		}
		return nil
	})
}

// TokenSource returns a source of the user's tokens. They are valid, and refreshed once
// for all processes that share the record. ctx is used in every call of Token, and has
// the HTTP client for refreshes (oauth2.HTTPClient), if not the default one.
//
// A token has the members of the provider's answer (Token.Extra), and no refresh token:
// the store keeps that, and uses it. The token is shared, and must not be changed.
//
// The errors are those of [core.TokenSource.Token]. core.ErrReauthRequired says that the
// user has to sign in again.
func (c *Client) TokenSource(ctx context.Context) oauth2.TokenSource {
	return &source{ctx: ctx, tokens: c.tokens()}
}

func (c *Client) tokens() *core.TokenSource { return c.store.TokenSource(c.key, c.query, c.Refresh) }

type source struct {
	ctx    context.Context
	tokens *core.TokenSource
	last   atomic.Pointer[converted]
}

// converted is a token of the store in the form of golang.org/x/oauth2.
type converted struct {
	from  *tokencache.AccessToken
	token oauth2.Token
}

// Token implements [oauth2.TokenSource].
func (s *source) Token() (*oauth2.Token, error) {
	at, err := s.tokens.Shared(s.ctx)
	if err != nil {
		return nil, err
	}
	last := s.last.Load()
	if last == nil || last.from != at {
		last = &converted{at, *tokenOf(*at)}
		s.last.Store(last)
	}
	return &last.token, nil
}

// HTTPClient returns an HTTP client that sends the user's token with every request: over
// https alone, except to loopback hosts. The token goes to any host that the program
// asks, and to no host to which a redirect leads. After a 401 the client asks for another
// token, and tries once more if the body can be sent again: see [bearer.Transport].
//
// As with oauth2.NewClient, ctx has the underlying HTTP client (oauth2.HTTPClient), which
// refreshes use, too. A request is limited by its own context.
func (c *Client) HTTPClient(ctx context.Context) *http.Client {
	base := clientOf(ctx)
	return &http.Client{
		Transport:     &transport{source: &requestSource{c.tokens(), base}, base: base.Transport},
		CheckRedirect: base.CheckRedirect,
		Jar:           base.Jar,
		Timeout:       base.Timeout,
	}
}

// clientOf returns the HTTP client that a context has for golang.org/x/oauth2.
func clientOf(ctx context.Context) *http.Client {
	if c, ok := ctx.Value(oauth2.HTTPClient).(*http.Client); ok && c != nil {
		return c
	}
	return http.DefaultClient
}

// transport attaches the token for any host that the program asks.
type transport struct {
	source bearer.TokenSource
	base   http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	one := bearer.Transport{Source: t.source, Base: t.base, Hosts: []string{req.URL.Hostname()}}
	return one.RoundTrip(req)
}

// requestSource makes refreshes use client, which a request's context doesn't have.
type requestSource struct {
	tokens *core.TokenSource
	client *http.Client
}

func (s *requestSource) Token(ctx context.Context, opts ...core.TokenOption) (tokencache.AccessToken, error) {
	if ctx.Value(oauth2.HTTPClient) == nil {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, s.client)
	}
	return s.tokens.Token(ctx, opts...)
}

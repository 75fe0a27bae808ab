package storm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

const (
	// Latency is how long the provider takes for a request.
	Latency = 100 * time.Millisecond
	// AtOnce is how many requests it takes at once; others wait.
	AtOnce = 50

	clientID = "11111111-2222-3333-4444-555555555555"
	tenant   = "cccccccc-0000-0000-0000-000000000000"
)

// Provider is an identity provider with single-use refresh tokens: a second use
// revokes the user's tokens. It is safe for concurrent use.
type Provider struct {
	places chan struct{}

	mu        sync.Mutex
	good      map[string]string // user → the one good refresh token; "" for revoked
	refreshes int
	spent     int // refresh tokens that were presented again
}

// NewProvider returns a provider where nobody is signed in.
func NewProvider() *Provider {
	return &Provider{places: make(chan struct{}, AtOnce), good: make(map[string]string)}
}

// Refreshes is how many refresh tokens were traded, and how many were presented
// after they were spent.
func (p *Provider) Refreshes() (traded, spent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refreshes, p.spent
}

// signIn returns tokens of a user that have expired.
func (p *Provider) signIn(user string) tokencache.TokenResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good[user] = "refresh-" + user + "-0"
	r := response(user, p.good[user], time.Now().Add(-2*time.Hour))
	r.GrantType = "authorization_code"
	return r
}

// grant trades a refresh token for the next one.
func (p *Provider) grant(token string) (next string, ok bool) {
	p.places <- struct{}{}
	defer func() { <-p.places }()
	time.Sleep(Latency)
	user, number, ok := parse(token)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ok || p.good[user] != token {
		p.spent++
		p.good[user] = ""
		return "", false
	}
	p.refreshes++
	p.good[user] = "refresh-" + user + "-" + strconv.Itoa(number+1)
	return p.good[user], true
}

func parse(token string) (user string, number int, ok bool) {
	user, last, ok := strings.Cut(strings.TrimPrefix(token, "refresh-"), "-")
	number, err := strconv.Atoi(last)
	return user, number, ok && err == nil
}

// response has an access token as long as Entra's are.
func response(user, refreshToken string, sent time.Time) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken:  "access-" + refreshToken + strings.Repeat("x", 1500),
		RefreshToken: refreshToken + "." + strings.Repeat("y", 1200),
		Scope:        "User.Read", ExpiresIn: 3600, ClientID: clientID, Tenant: tenant,
		HomeAccountID: user + "." + tenant, GrantType: "refresh_token", Sent: sent,
	}
}

// Refresh is a core.RefreshFunc.
func (p *Provider) Refresh(_ context.Context, c *tokencache.Cache, r core.Refresh) error {
	return refresh(c, r, func(token string) (string, error) {
		next, ok := p.grant(token)
		if !ok {
			return "", core.ErrReauthRequired
		}
		return next, nil
	})
}

// ServeHTTP makes the provider known to other processes; see Remote.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	next, ok := p.grant(string(token))
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = io.WriteString(w, next) // a caller who is gone can't be told
}

// Remote returns a core.RefreshFunc that asks a Provider of another process.
func Remote(client *http.Client, url string) core.RefreshFunc {
	return func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		return refresh(c, r, func(token string) (string, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(token))
			if err != nil {
				return "", err
			}
			resp, err := client.Do(req)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			next, err := io.ReadAll(resp.Body)
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s: %w", resp.Status, core.ErrReauthRequired)
			}
			return string(next), err
		})
	}
}

func refresh(c *tokencache.Cache, r core.Refresh, trade func(token string) (string, error)) error {
	rt, ok := c.RefreshToken(r.Query)
	if !ok {
		return core.ErrReauthRequired
	}
	if !r.LeaseHeld() {
		return core.ErrLeaseLost
	}
	token, _, _ := strings.Cut(rt.Secret.Reveal(), ".")
	sent := time.Now()
	next, err := trade(token)
	if err != nil {
		return err
	}
	user, _, _ := parse(token)
	return c.Put(response(user, next, sent))
}

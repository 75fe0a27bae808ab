package simulation

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

const (
	clientID = "11111111-2222-3333-4444-555555555555"
	tenant   = "cccccccc-0000-0000-0000-000000000000"
)

// home is a user's home account ID.
func home(user string) string { return user + "." + tenant }

// forbidden is a scope that the provider never grants.
const forbidden = "Forbidden.All"

// provider is a strict identity provider: each refresh token is good for one refresh. If a token
// is sent again, the provider revokes its family: all tokens since the same sign-in.
type provider struct {
	run *run

	mu       sync.Mutex
	families []*family
	refresh  map[string]*refreshToken
	access   map[string]*accessToken
}

type family struct {
	user    string
	number  int
	revoked bool
	misled  bool            // a spent token of the family was stored because of its stamp
	tokens  []*refreshToken // the last one is good
}

type refreshToken struct {
	secret string
	family *family
	grant  *grant // that issued it
	spent  *grant // that spent it; nil while it is good
}

func (t *refreshToken) good() bool { return t.spent == nil && !t.family.revoked }

type accessToken struct {
	secret, user, scope string
	issued, expires     time.Duration // by the provider's clock
	offset              time.Duration // of the clock that stamped it
	family              *family
}

// grant is one refresh, or one sign-in.
type grant struct {
	process   *process
	sent, at  time.Duration // asked for, and granted
	late      bool          // when it was asked for, less of the lease was left than a holder has that can renew
	delivered bool          // the process has the answer
	stored    time.Duration // when the new refresh token was first saved; zero for never
	access    *accessToken
	refresh   *refreshToken
}

// response is the grant as the provider answers it, stamped by the process's clock.
func (g *grant) response(kind string, sent time.Time) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken:   g.access.secret,
		RefreshToken:  g.refresh.secret,
		Scope:         g.access.scope,
		TokenType:     "Bearer",
		ExpiresIn:     int(g.process.run.conditions.lifetime / time.Second),
		ClientID:      clientID,
		Environment:   "login.microsoftonline.com",
		Tenant:        "common",
		HomeAccountID: home(g.access.user),
		GrantType:     kind,
		Sent:          sent,
	}
}

// refusal is an error of the provider.
type refusal struct {
	text       string
	scope      core.FailureScope
	retryAfter time.Duration
	cause      error
}

func (e *refusal) Error() string                   { return "the provider answered " + e.text }
func (e *refusal) Unwrap() error                   { return e.cause }
func (e *refusal) FailureScope() core.FailureScope { return e.scope }
func (e *refusal) RetryAfter() time.Duration       { return e.retryAfter }

// unreachable is a failure on the way to the provider.
func unreachable(cause error) error {
	if cause == nil || errors.Is(cause, errDead) {
		cause = errDead
	}
	return &refusal{text: "nothing: " + cause.Error(), scope: core.FailureOfProvider, cause: cause}
}

// ask sends a request of a process to the provider.
func (v *provider) ask(ctx context.Context, p *process, op, key, detail string, effect func() (*grant, string, error)) (*grant, error) {
	return call[*grant]{
		request: request{op: op, key: key, detail: detail, odds: v.run.conditions.providerFaults, slowest: v.run.conditions.slowestProvider},
		failed:  unreachable,
		effect: func() (*grant, string, error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			return effect()
		},
	}.do(ctx, p)
}

// signIn is a user's sign-in on a process.
func (v *provider) signIn(ctx context.Context, p *process, user string) (tokencache.TokenResponse, error) {
	sent, begun := p.now(), v.run.since()
	g, err := v.ask(ctx, p, "sign-in", user, "", func() (*grant, string, error) {
		f := &family{user: user, number: len(v.families) + 1}
		v.families = append(v.families, f)
		g := v.issue(p, f, scopes[0], begun, sent)
		return g, g.refresh.secret, nil
	})
	if err != nil {
		return tokencache.TokenResponse{}, err
	}
	return v.deliver(g, "authorization_code", sent), nil
}

// deliver notes that the process has the answer.
func (v *provider) deliver(g *grant, kind string, sent time.Time) tokencache.TokenResponse {
	v.mu.Lock()
	defer v.mu.Unlock()
	g.delivered = true
	return g.response(kind, sent)
}

// issue makes the tokens of a grant. mu is held.
func (v *provider) issue(p *process, f *family, scope string, begun time.Duration, sent time.Time) *grant {
	now := v.run.since()
	serial := strconv.Itoa(f.number) + "." + strconv.Itoa(len(f.tokens)+1)
	g := &grant{process: p, sent: begun, at: now}
	g.access = &accessToken{
		secret: "access-" + f.user + "-" + serial, user: f.user, scope: scope,
		issued: now, expires: now + v.run.conditions.lifetime, offset: sent.Sub(v.run.history.start.Add(begun)), family: f,
	}
	g.refresh = &refreshToken{secret: "refresh-" + f.user + "-" + serial, family: f, grant: g}
	f.tokens = append(f.tokens, g.refresh)
	v.access[g.access.secret] = g.access
	v.refresh[g.refresh.secret] = g.refresh
	return g
}

// refreshFunc is the process's core.RefreshFunc: it does what adapters/msal does.
// ctx is the caller's, for a mutant.
func (v *provider) refreshFunc(p *process, callers func() context.Context) core.RefreshFunc {
	return func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		rt, ok := c.RefreshToken(r.Query)
		if !ok {
			v.run.history.note(p.name, "refresh", "finds no refresh token of", r.Query.HomeAccountID)
			return core.ErrReauthRequired
		}
		if v.run.mutant.KeepsCallersContext {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(callers(), cancel)()
		}
		if err := v.discover(ctx, p); err != nil {
			return err
		}
		if !r.LeaseHeld() && !v.run.mutant.SendsWithoutLease {
			v.run.history.note(p.name, "refresh", "lost its lease before its request")
			return core.ErrLeaseLost
		}
		response, err := v.redeem(ctx, p, rt.Secret.Reveal(), strings.Join(r.Query.Scopes, " "))
		if err != nil {
			return err
		}
		return c.Put(response)
	}
}

// discover asks the provider for its addresses, as MSAL does before a client's first request.
func (v *provider) discover(ctx context.Context, p *process) error {
	if !v.run.conditions.discovers {
		return nil
	}
	_, err := v.ask(ctx, p, "discover", "", "", func() (*grant, string, error) { return nil, "", nil })
	return err
}

// redeem sends a refresh token to the provider.
func (v *provider) redeem(ctx context.Context, p *process, secret, scope string) (tokencache.TokenResponse, error) {
	sent, begun := p.now(), v.run.since()
	late := v.run.records.leases.left(p) < v.run.conditions.leaseTTL*2/5
	g, err := v.ask(ctx, p, "refresh", secret, scope, func() (*grant, string, error) {
		g, err := v.grantFor(p, secret, scope, begun, sent, late)
		if err != nil {
			return nil, scope, err
		}
		return g, scope + ": " + g.refresh.secret, nil
	})
	if err != nil {
		return tokencache.TokenResponse{}, err
	}
	return v.deliver(g, "refresh_token", sent), nil
}

// grantFor answers a refresh request. mu is held.
func (v *provider) grantFor(p *process, secret, scope string, begun time.Duration, sent time.Time, late bool) (*grant, error) {
	if err := v.throttled(p); err != nil {
		return nil, err
	}
	rt := v.refresh[secret]
	if rt == nil {
		v.run.violated("no refresh token is made up", p.name, "sent", secret)
		return nil, &refusal{text: "invalid_grant: unknown", scope: core.FailureOfUser, cause: core.ErrReauthRequired}
	}
	if scope == forbidden {
		return nil, &refusal{text: "invalid_scope", scope: core.FailureOfRequest}
	}
	if rt.family.revoked {
		return nil, &refusal{text: "invalid_grant: revoked", scope: core.FailureOfUser, cause: core.ErrReauthRequired}
	}
	if rt.spent != nil {
		rt.family.revoked = true
		v.run.checkReuse(p, rt, begun, late)
		return nil, &refusal{text: "invalid_grant: spent before, and so revoked", scope: core.FailureOfUser, cause: core.ErrReauthRequired}
	}
	g := v.issue(p, rt.family, scope, begun, sent)
	rt.spent, g.late = g, late
	v.run.checkNeeded(g)
	return g, nil
}

// throttled returns a refusal with Retry-After, now and then.
func (v *provider) throttled(p *process) error {
	run := v.run
	now := run.since()
	if !run.conditions.throttles || !run.conditions.troubled(now) {
		return nil
	}
	r := run.seed.draw("throttle", p.name, text(now))
	if r.IntN(2) == 0 {
		return nil
	}
	d := between(r, time.Second, time.Minute).Round(time.Second)
	return &refusal{text: fmt.Sprint("429, come back in ", d), scope: core.FailureOfProvider, retryAfter: d}
}

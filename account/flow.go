package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// ErrStateMismatch: the redirect belongs to another sign-in than the flow, or
// to nobody's (RFC 6749 section 10.12).
var ErrStateMismatch = errors.New("the redirect is not this sign-in's")

// AuthOptions changes what the sign-in page shows.
type AuthOptions struct {
	LoginHint string // the user name to begin with; Config.Username by default
	Prompt    string // "select_account" by default, so that a second user isn't signed in as the first; "login", "consent", "none"
	Claims    string // a claims challenge to answer, as JSON: msal.Error has it
}

// AuthURL returns the address at which the user signs in, and the flow that
// SignIn needs when the user comes back.
func (a *Account) AuthURL(ctx context.Context, o AuthOptions) (address string, flow Flow, err error) {
	return a.begin(ctx, o, a.config.RedirectURL, false)
}

func (a *Account) begin(ctx context.Context, o AuthOptions, redirectURL string, formPost bool) (string, Flow, error) {
	if a.config.App {
		return "", Flow{}, errors.New("account: sign in: the account is the application itself, see SignInApp")
	}
	f := Flow{
		state:       rand.Text(),
		verifier:    keep(newVerifier()),
		redirectURL: redirectURL,
		scopes:      slices.Clone(a.config.Scopes),
	}
	r := f.request()
	r.State, r.Challenge, r.FormPost = f.state, challengeOf(f.verifier()), formPost
	r.LoginHint, r.Prompt, r.Claims = o.LoginHint, o.Prompt, o.Claims
	if r.LoginHint == "" {
		r.LoginHint = a.config.Username
	}
	if r.Prompt == "" {
		r.Prompt = "select_account"
	}
	address, err := a.client.AuthCodeURL(ctx, r)
	if err != nil {
		return "", Flow{}, fmt.Errorf("account: sign in: %w", err)
	}
	return address, f, nil
}

// SignIn finishes what AuthURL began: redirect is the address the browser was
// sent back to, or its query alone, with the code and the state in it. The
// user's tokens are then in the store.
//
// The provider's refusal is an [*msal.Error]. A code is good for one SignIn: after an
// error that came later than the redirect's own, the sign-in begins anew. But with
// core.ErrRefreshedNotSaved the user is signed in, and returned: the store keeps the
// tokens, hands them out, and saves them as soon as it can (see core.Store.Flush).
//
// Once the code is sent, SignIn no longer depends on ctx: a user who presses Ctrl-C
// or closes the page then is signed in all the same.
func (a *Account) SignIn(ctx context.Context, flow Flow, redirect string) (tokencache.Account, error) {
	params, err := redirectParameters(redirect)
	if err != nil {
		return tokencache.Account{}, fmt.Errorf("account: sign in: %w", err)
	}
	return a.redeem(ctx, flow, params)
}

// redeemTimeout bounds what the caller's context does not: discovery and the
// request that spends the code.
const redeemTimeout = core.DefaultRefreshTimeout

func (a *Account) redeem(ctx context.Context, flow Flow, params url.Values) (tokencache.Account, error) {
	code, err := flow.code(params)
	if err == nil {
		err = ctx.Err() // the last moment to leave without a loss
	}
	if err != nil {
		return tokencache.Account{}, fmt.Errorf("account: sign in: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	response, err := a.tokens(ctx, flow, code)
	if err != nil {
		return tokencache.Account{}, fmt.Errorf("account: sign in: %w", err)
	}
	cache, err := a.put(ctx, response)
	if cache == nil {
		return tokencache.Account{}, err
	}
	who, _ := cache.Account(tokencache.Query{HomeAccountID: response.HomeAccountID, Tenant: response.Tenant, Environment: response.Environment})
	return who, err
}

// tokens redeems the code.
func (a *Account) tokens(ctx context.Context, flow Flow, code tokencache.Secret) (tokencache.TokenResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, redeemTimeout)
	defer cancel()
	return a.client.RedeemCode(ctx, flow.request(), code, flow.verifier())
}

// redirectParameters reads the parameters of a redirect that a person copied.
func redirectParameters(redirect string) (url.Values, error) {
	redirect = strings.TrimSpace(redirect)
	if _, query, found := strings.Cut(redirect, "?"); found {
		redirect = query
	}
	redirect, _, _ = strings.Cut(redirect, "#")
	params, err := url.ParseQuery(redirect)
	if err != nil || !params.Has("code") && !params.Has("error") {
		return nil, errors.New("the redirect has no code in it") // and is not quoted: it may have
	}
	return params, nil
}

// Flow is a sign-in under way: what AuthURL leaves for SignIn to check and to
// send. It is kept where the user who is signing in can't be confused with
// another, such as a web session, and nobody else reads it. In a log it shows
// none of its secrets; Marshal hands them over.
type Flow struct {
	state       string
	verifier    func() tokencache.Secret // package fmt prints what it reaches in fields that are not exported
	redirectURL string
	scopes      []string
}

// State is the state parameter that comes back with the redirect, for a web
// application that files its flows under it.
func (f Flow) State() string { return f.state }

// Marshal returns the flow for storage, secrets and all. ParseFlow reads it.
func (f Flow) Marshal() ([]byte, error) {
	if f.verifier == nil {
		return nil, errors.New("account: the zero Flow is no flow")
	}
	return json.Marshal(storedFlow{f.state, f.verifier().Reveal(), f.redirectURL, f.scopes})
}

// ParseFlow reads what Marshal wrote.
func ParseFlow(data []byte) (Flow, error) {
	var s storedFlow
	if err := json.Unmarshal(data, &s); err != nil {
		return Flow{}, errors.New("account: not a flow") // the error would quote it
	}
	if s.State == "" || s.Verifier == "" || s.RedirectURL == "" {
		return Flow{}, errors.New("account: not a flow: something is missing")
	}
	return Flow{s.State, keep(tokencache.Secret(s.Verifier)), s.RedirectURL, s.Scopes}, nil
}

type storedFlow struct {
	State       string   `json:"state"`
	Verifier    string   `json:"code_verifier"`
	RedirectURL string   `json:"redirect_url"`
	Scopes      []string `json:"scopes"`
}

// Format implements [fmt.Formatter], for every verb.
func (f Flow) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.String()) }

// String shows what isn't secret.
func (f Flow) String() string { return "sign-in by " + f.redirectURL }

func (f Flow) request() msal.CodeRequest {
	return msal.CodeRequest{RedirectURL: f.redirectURL, Scopes: f.scopes}
}

// code returns the authorization code of a redirect that is the flow's own.
func (f Flow) code(params url.Values) (tokencache.Secret, error) {
	if f.state == "" || subtle.ConstantTimeCompare([]byte(params.Get("state")), []byte(f.state)) != 1 {
		return "", ErrStateMismatch
	}
	if err := msal.Refusal(params); err != nil {
		return "", err
	}
	code := params.Get("code")
	if code == "" {
		return "", errors.New("the redirect has no code in it")
	}
	return tokencache.Secret(code), nil
}

// newVerifier returns a code verifier of 256 random bits (RFC 7636 section 4.1).
func newVerifier() tokencache.Secret {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	return tokencache.Secret(base64.RawURLEncoding.EncodeToString(random[:]))
}

// challengeOf returns a verifier's S256 challenge (RFC 7636 section 4.2).
func challengeOf(verifier tokencache.Secret) string {
	sum := sha256.Sum256([]byte(verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func keep(s tokencache.Secret) func() tokencache.Secret {
	return func() tokencache.Secret { return s }
}

package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The errors of a sign-in whose redirect or result doesn't fit. Test for them with
// errors.Is. Nothing is stored then.
var (
	// ErrStateMismatch: the redirect belongs to another sign-in than the flow, or to none
	// (RFC 6749 section 10.12).
	ErrStateMismatch = errors.New("the redirect doesn't belong to this sign-in")
	// ErrNoAddress: the input ended before the address came at which the browser ended, or
	// had a blank line instead.
	ErrNoAddress = errors.New("no address was pasted")
	// ErrFlowExpired: the user came back too late. The sign-in has to begin again.
	ErrFlowExpired = errors.New("the sign-in took too long; begin it again")
	// ErrFlowUsed: SignIn was called with this flow before, for example because the page
	// of a redirect was loaded again. The result of the first call counts.
	ErrFlowUsed = errors.New("this sign-in was finished before")
	// ErrOtherFlow: the flow belongs to another application or another provider, or the
	// browser came back to an address that isn't the flow's.
	ErrOtherFlow = errors.New("the flow belongs to another sign-in")
	// ErrOtherIssuer: an identity provider that wasn't asked has answered (RFC 9207) or
	// issued the ID token, or the ID token is for another application.
	ErrOtherIssuer = errors.New("the answer comes from another provider, or is for another application")
	// ErrOtherUser: another user has signed in than the one who was meant.
	ErrOtherUser = errors.New("another user has signed in than was meant")
)

// DefaultFlowLifetime is how long a user may take for the sign-in page.
const DefaultFlowLifetime = 10 * time.Minute

// AuthOptions changes one sign-in.
type AuthOptions struct {
	Scopes      []string // instead of Config.Scopes; to ask for consent to more, name all scopes
	RedirectURL string   // instead of Config.RedirectURL
	Tenant      string   // instead of Config.Tenant: for example a tenant in which the user is a guest

	LoginHint     string // the user name to begin with; Config.Username by default
	BindLoginHint bool   // no other user than LoginHint may sign in, as with Config.Username
	DomainHint    string // the domain whose own sign-in page is wanted, such as "contoso.com"
	Prompt        string // "select_account" by default, so that a second user isn't signed in as the first; "login", "consent", "none"
	Claims        string // a claims challenge to answer, as JSON: msal.Error has it

	// FormPost makes the code come back in a form (response_mode=form_post) instead of
	// the address, which browsers and servers remember. The cookie of the user's session
	// then needs SameSite=None.
	FormPost bool
	// Extra are further parameters of the sign-in page's address. They don't replace
	// those that AuthURL makes.
	Extra map[string]string
	// Lifetime is how long the user may take, by default DefaultFlowLifetime.
	Lifetime time.Duration
	// NoStore is Config.NoStore for this sign-in: one-time access. The account returns
	// its tokens, and nothing is stored.
	NoStore bool
}

// Flow is a sign-in that has begun: AuthURL makes it, and SignIn checks and uses it. It
// is bound to the application, the provider and the redirect URL.
//
// It belongs into the session of the user who is signing in, and nowhere else. In a web
// application, an attacker who can choose the flow for another person's redirect can sign
// that person in as another user. Take the flow out of the session before SignIn is
// called, so that a redirect that comes a second time finds none. SignIn also refuses a
// flow that it has seen, but it doesn't know what other processes have seen.
//
// A log shows none of its secrets; Marshal returns them.
type Flow struct {
	held func() storedFlow // package fmt prints what it reaches in fields that are not exported
	_    uintptr           // go-spew crashes on a struct of one pointer
}

// storedFlow is a flow as it is stored.
type storedFlow struct {
	State       string    `json:"state"`
	Verifier    string    `json:"code_verifier"`
	Nonce       string    `json:"nonce"`
	RedirectURL string    `json:"redirect_url"`
	Scopes      []string  `json:"scopes"`
	Authority   string    `json:"authority"`
	Tenant      string    `json:"tenant,omitempty"`
	ClientID    string    `json:"client_id"`
	Expires     time.Time `json:"expires"`
	Username    string    `json:"username,omitempty"`        // the user who must sign in
	HomeAccount string    `json:"home_account_id,omitempty"` // likewise
	NoStore     bool      `json:"no_store,omitempty"`
}

func (s storedFlow) flow() Flow { return Flow{held: func() storedFlow { return s }} }

// in returns the flow's contents; those of the zero Flow are empty.
func (f Flow) in() storedFlow {
	if f.held == nil {
		return storedFlow{}
	}
	return f.held()
}

// State is the state parameter that comes back with the redirect. A web application can
// use it as the key of the flow within the user's session.
func (f Flow) State() string { return f.in().State }

// Expires is the time from which SignIn refuses the flow.
func (f Flow) Expires() time.Time { return f.in().Expires }

// Marshal returns the flow for storage, with its secrets. ParseFlow reads it.
func (f Flow) Marshal() ([]byte, error) {
	if f.held == nil {
		return nil, errors.New("account: the flow is empty: store the one that AuthURL returned")
	}
	return json.Marshal(f.held())
}

// ParseFlow reads the result of Marshal.
func ParseFlow(data []byte) (Flow, error) {
	var s storedFlow
	if err := json.Unmarshal(data, &s); err != nil {
		return Flow{}, errors.New("account: the flow can't be read: it isn't the text that Marshal returned") // the cause would quote it
	}
	if s.State == "" || s.Verifier == "" || s.Nonce == "" || s.RedirectURL == "" || s.Authority == "" || s.ClientID == "" || s.Expires.IsZero() {
		return Flow{}, errors.New("account: the flow is incomplete: it isn't the text that Marshal returned")
	}
	return s.flow(), nil
}

// Format implements [fmt.Formatter], for every verb.
func (f Flow) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.String()) }

// String shows the parts that aren't secret.
func (f Flow) String() string { return "sign-in by " + core.Printable(f.in().RedirectURL) }

// begin makes a flow and its address, for a sign-in into the record of one account, or of
// the user who signs in.
func (p *App) begin(ctx context.Context, into *Account, o AuthOptions) (string, Flow, error) {
	address, flow, err := p.newFlow(ctx, into, o)
	if err != nil {
		return "", Flow{}, fmt.Errorf("account: sign in: %w", err)
	}
	return address, flow, nil
}

func (p *App) newFlow(ctx context.Context, into *Account, o AuthOptions) (string, Flow, error) {
	if p.config.App {
		return "", Flow{}, errors.New("the account is the application itself, see SignInApp")
	}
	who, err := p.meant(into, o)
	if err != nil {
		return "", Flow{}, err
	}
	s := storedFlow{
		State:       rand.Text(),
		Verifier:    newVerifier(),
		Nonce:       rand.Text(),
		RedirectURL: cmp.Or(o.RedirectURL, p.config.RedirectURL),
		Scopes:      p.scopesOf(o),
		Authority:   p.client.Authority(),
		Tenant:      tenantOf(into, o),
		ClientID:    p.client.ID(),
		Expires:     time.Now().Add(cmp.Or(max(o.Lifetime, 0), DefaultFlowLifetime)).Round(0), // as it is stored
		Username:    who.Username,
		HomeAccount: who.HomeAccountID,
		NoStore:     o.NoStore,
	}
	r := s.request()
	r.State, r.Nonce, r.Challenge, r.FormPost = s.State, s.Nonce, challengeOf(s.Verifier), o.FormPost
	r.LoginHint = cmp.Or(o.LoginHint, who.Username)
	r.DomainHint, r.Claims, r.Extra = o.DomainHint, o.Claims, maps.Clone(o.Extra)
	r.Prompt = cmp.Or(o.Prompt, "select_account")
	address, err := p.client.AuthCodeURL(ctx, r)
	return address, s.flow(), err
}

// scopesOf returns the scopes for which a sign-in asks.
func (p *App) scopesOf(o AuthOptions) []string {
	if scopes := tokencache.SplitScopes(o.Scopes...); len(scopes) > 0 {
		return scopes
	}
	return slices.Clone(p.config.Scopes)
}

// tenantOf returns the tenant at which a sign-in asks; "" is the authority's.
func tenantOf(into *Account, o AuthOptions) string {
	if o.Tenant == "" && into != nil {
		return into.tenant
	}
	return o.Tenant
}

func (s storedFlow) request() msal.CodeRequest {
	return msal.CodeRequest{RedirectURL: s.RedirectURL, Scopes: s.Scopes, Tenant: s.Tenant}
}

// redeemTimeout limits what the caller's context doesn't: discovery, and the request that
// spends the code.
const redeemTimeout = core.DefaultRefreshTimeout

func (p *App) signIn(ctx context.Context, into *Account, flow Flow, redirect string) (*Account, error) {
	a, err := p.redeem(ctx, into, flow.in(), redirect)
	if err != nil {
		err = fmt.Errorf("account: sign in: %w", err)
	}
	return a, err
}

// used are the states of the flows whose code this process has redeemed, with whichever
// App: a program may make one for each request.
var used expiring[struct{}]

func (p *App) redeem(ctx context.Context, into *Account, flow storedFlow, redirect string) (*Account, error) {
	at, params, err := parseRedirect(redirect)
	if err != nil {
		return nil, err
	}
	if !flow.isOf(params) {
		return nil, ErrStateMismatch
	}
	if err := flow.fits(p, at); err != nil {
		return nil, err
	}
	provider, err := p.client.Provider(ctx, flow.Tenant)
	if err != nil {
		return nil, err
	}
	if err := checkIssuer(provider, params); err != nil { // before a refusal is taken for this provider's
		return nil, err
	}
	code, err := codeOf(params)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // the last moment at which leaving loses nothing
		return nil, err
	}
	if !used.add(flow.State, struct{}{}, flow.Expires) {
		return nil, ErrFlowUsed
	}
	ctx = context.WithoutCancel(ctx)
	response, err := p.tokens(ctx, flow, code)
	if err != nil {
		return nil, err
	}
	return p.file(ctx, into, arrival{
		response: response, provider: provider, nonce: flow.Nonce, noStore: flow.NoStore, tenant: flow.Tenant,
		meant: tokencache.Account{Username: flow.Username, HomeAccountID: flow.HomeAccount},
	})
}

// tokens redeems the code.
func (p *App) tokens(ctx context.Context, flow storedFlow, code tokencache.Secret) (tokencache.TokenResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, redeemTimeout)
	defer cancel()
	return p.client.RedeemCode(ctx, flow.request(), code, tokencache.Secret(flow.Verifier))
}

// parseRedirect reads a redirect that a person copied, or that a server received: its
// address, if it has one, and its parameters. No parameter may occur twice (RFC 6749
// section 3.1): which of two counts would depend on the reader.
func parseRedirect(redirect string) (at *url.URL, params url.Values, err error) {
	redirect = strings.TrimSpace(redirect)
	// A query may have a question mark in it (RFC 3986 section 3.4), after its first "=".
	if address, query, found := strings.Cut(redirect, "?"); found && redirect[strings.IndexAny(redirect, "?/=")] != '=' {
		if at, err = url.Parse(address); err != nil {
			return nil, nil, errNoCode
		}
		redirect = query
	}
	redirect, _, _ = strings.Cut(redirect, "#")
	params, err = url.ParseQuery(redirect)
	if err != nil || !params.Has("code") && !params.Has("error") {
		return nil, nil, errNoCode
	}
	for name, values := range params {
		if len(values) > 1 {
			return nil, nil, fmt.Errorf("the redirect has the parameter %s more than once", core.Printable(name))
		}
	}
	return at, params, nil
}

var errNoCode = errors.New("the redirect has no code in it") // and is not quoted: it may have

// isOf reports whether a redirect has the flow's state.
func (s storedFlow) isOf(params url.Values) bool {
	return s.State != "" && subtle.ConstantTimeCompare([]byte(params.Get("state")), []byte(s.State)) == 1
}

// codeOf returns the authorization code of a redirect, or the provider's refusal.
func codeOf(params url.Values) (tokencache.Secret, error) {
	if err := msal.Refusal(params); err != nil {
		return "", err
	}
	code := params.Get("code")
	if code == "" {
		return "", errNoCode
	}
	return tokencache.Secret(code), nil
}

// fits reports in what way a flow doesn't fit the application, or the address that the
// browser came back to, which may be unknown.
func (s storedFlow) fits(p *App, at *url.URL) error {
	switch {
	case s.Authority != p.client.Authority() || !strings.EqualFold(s.ClientID, p.client.ID()):
		return fmt.Errorf("%w: it was begun by %s at %s", ErrOtherFlow, core.Printable(s.ClientID), core.Printable(s.Authority))
	case !time.Now().Before(s.Expires):
		return ErrFlowExpired
	case at == nil || at.Host == "":
		return nil
	}
	begun, err := url.Parse(s.RedirectURL)
	if err != nil || !sameAddress(begun, at) {
		return fmt.Errorf("%w: the browser came back to %s://%s, and was sent to %s", ErrOtherFlow, core.Printable(at.Scheme), core.Printable(at.Host), core.Printable(s.RedirectURL))
	}
	return nil
}

// sameAddress compares the addresses of two redirects, without their parameters.
func sameAddress(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Host, b.Host) && cmp.Or(a.EscapedPath(), "/") == cmp.Or(b.EscapedPath(), "/")
}

// checkIssuer compares the provider with the one that the redirect names (RFC 9207
// section 2.4).
func checkIssuer(provider msal.Provider, params url.Values) error {
	issuer := params.Get("iss")
	switch {
	case params.Has("iss") && !provider.IsIssuer(issuer, ""):
		return fmt.Errorf("%w: the redirect comes from %s, but %s was asked", ErrOtherIssuer, core.Printable(issuer), core.Printable(provider.Issuer))
	case !params.Has("iss") && provider.NamesIssuer:
		return fmt.Errorf("%w: the redirect doesn't name its provider, as redirects of %s do", ErrOtherIssuer, core.Printable(provider.Issuer))
	}
	return nil
}

// newVerifier returns a code verifier of 256 random bits (RFC 7636 section 4.1).
func newVerifier() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// challengeOf returns a verifier's S256 challenge (RFC 7636 section 4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

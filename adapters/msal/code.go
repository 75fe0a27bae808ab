package msal

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// CodeRequest has what both halves of a sign-in by authorization code need (RFC 6749
// section 4.1, with PKCE, RFC 7636). Package account makes a whole sign-in of them.
type CodeRequest struct {
	RedirectURL string   // where the provider sends the user back to
	Scopes      []string // read by Scopes; the reserved ones are always asked for
	Tenant      string   // a tenant's ID or domain; "" is the authority's

	// These are for AuthCodeURL alone.
	State      string // comes back with the code
	Challenge  string // the code challenge, by the method S256
	FormPost   bool   // the code comes back in a form, and doesn't get into the browser's history
	Nonce      string // comes back in the ID token (OpenID Connect Core section 3.1.2.1)
	LoginHint  string // the user name to begin with
	DomainHint string // the domain whose own sign-in page is wanted, such as "contoso.com"
	Prompt     string // "select_account", "login", "consent" or "none"; "" leaves it to the provider
	Claims     string // a claims challenge to answer

	// Extra are further parameters, such as "domain_req". They don't replace any of those
	// above.
	Extra map[string]string
}

// AuthCodeURL returns the address at which the user signs in. It is https and the
// provider's own, whatever its discovery document says.
func (c *Client) AuthCodeURL(ctx context.Context, r CodeRequest) (string, error) {
	x := c.exchange(nil)
	address, err := c.authCodeURL(ctx, x, r)
	if err != nil {
		return "", x.explain("sign-in address", err)
	}
	u, err := url.Parse(address)
	if err == nil {
		err = x.checkEndpoint("authorization_endpoint", u)
	}
	if err != nil {
		return "", x.explain("sign-in address", err)
	}
	x.keepDiscovered()
	// MSAL can't be asked for these parameters from outside.
	q := u.Query()
	for name, value := range map[string]string{
		"state": r.State, "nonce": r.Nonce, "login_hint": r.LoginHint, "domain_hint": r.DomainHint, "prompt": r.Prompt, "code_challenge": r.Challenge,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if r.Challenge != "" {
		q.Set("code_challenge_method", "S256")
	}
	q.Set("response_mode", "query")
	if r.FormPost {
		q.Set("response_mode", "form_post")
	}
	for name, value := range r.Extra {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (c *Client) authCodeURL(ctx context.Context, x *exchange, r CodeRequest) (string, error) {
	scopes := append(Scopes(r.Scopes...), reservedScopes...)
	authority, _ := c.authority.at(r.Tenant)
	if c.credentials == nil {
		client, err := c.public(x, authority)
		if err != nil {
			return "", err
		}
		return client.AuthCodeURL(ctx, c.id, r.RedirectURL, scopes, public.WithClaims(r.Claims))
	}
	client, err := c.confidential(x, authority)
	if err != nil {
		return "", err
	}
	return client.AuthCodeURL(ctx, c.id, r.RedirectURL, scopes, confidential.WithClaims(r.Claims))
}

// RedeemCode exchanges the authorization code that came back for tokens. A code can be
// redeemed once. verifier is the text from which r.Challenge was made.
func (c *Client) RedeemCode(ctx context.Context, r CodeRequest, code, verifier tokencache.Secret) (tokencache.TokenResponse, error) {
	scopes := orIdentity(Scopes(r.Scopes...))
	authority, realm := c.authority.at(r.Tenant)
	x := c.exchange(emptyDocument)
	a, err := x.call("redeem code", func() error {
		if c.credentials == nil {
			client, err := c.public(x, authority)
			if err != nil {
				return err
			}
			_, err = client.AcquireTokenByAuthCode(ctx, code.Reveal(), r.RedirectURL, scopes, public.WithChallenge(verifier.Reveal()))
			return err
		}
		client, err := c.confidential(x, authority)
		if err != nil {
			return err
		}
		_, err = client.AcquireTokenByAuthCode(ctx, code.Reveal(), r.RedirectURL, scopes, confidential.WithChallenge(verifier.Reveal()))
		return err
	})
	return c.usersTokens("redeem code", "authorization_code", a, realm, scopes, err)
}

// usersTokens returns the tokens of a user who has just signed in at a tenant, or err.
func (c *Client) usersTokens(op, grantType string, a *answer, realm string, scopes []string, err error) (tokencache.TokenResponse, error) {
	if err != nil {
		return tokencache.TokenResponse{}, err
	}
	account, err := a.account()
	if err != nil {
		return tokencache.TokenResponse{}, fmt.Errorf("msal: %s: %w", op, err)
	}
	return a.response(grantType, c.id, c.authority.host, realm, account, scopes), nil
}

// reservedScopes ask for an ID token, the account that it is about, and a refresh token
// (OpenID Connect Core sections 5.4 and 11).
var reservedScopes = []string{"openid", "offline_access", "profile"}

// identityScope is asked for if only the reserved scopes are wanted: MSAL Go sends no
// token request without a scope of the program's.
var identityScope = []string{"openid"}

func orIdentity(scopes []string) []string {
	if len(scopes) == 0 {
		return identityScope
	}
	return scopes
}

// Scopes returns scopes as a list of single ones (see [tokencache.SplitScopes]), without
// openid, profile and offline_access. MSAL asks for those by itself. Entra leaves
// offline_access out of the scopes that it says it granted, and MSAL would take that for
// a refusal. Queries are made without them for the same reason.
func Scopes(scopes ...string) []string {
	return slices.DeleteFunc(tokencache.SplitScopes(scopes...), func(scope string) bool {
		return slices.Contains(reservedScopes, strings.ToLower(scope))
	})
}

package account

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// userSignIn stores the tokens of a flow without a browser. The flow may end with ctx;
// once it has tokens, they are kept.
func (p *App) userSignIn(ctx context.Context, into *Account, o AuthOptions, obtain func() (tokencache.TokenResponse, error)) (*Account, error) {
	a, err := p.obtained(ctx, into, o, obtain)
	if err != nil {
		err = fmt.Errorf("account: sign in: %w", err)
	}
	return a, err
}

func (p *App) obtained(ctx context.Context, into *Account, o AuthOptions, obtain func() (tokencache.TokenResponse, error)) (*Account, error) {
	if p.config.App {
		return nil, errors.New("the account is the application itself, see SignInApp")
	}
	meant, err := p.meant(into, o)
	if err != nil {
		return nil, err
	}
	tenant := tenantOf(into, o)
	provider, err := p.client.Provider(ctx, tenant)
	if err != nil {
		return nil, err
	}
	response, err := obtain()
	if err != nil {
		return nil, err
	}
	return p.file(context.WithoutCancel(ctx), into, arrival{response: response, provider: provider, meant: meant, noStore: o.NoStore, tenant: tenant})
}

// password signs in by name and password. The name may be another than the one in the ID
// token, so only a user of the Config or the Account is compared.
func (p *App) password(ctx context.Context, into *Account, o AuthOptions, username string, password tokencache.Secret) (*Account, error) {
	if username == "" || password == "" {
		return nil, errors.New("account: sign in: the user's name or password is missing")
	}
	return p.userSignIn(ctx, into, o, func() (tokencache.TokenResponse, error) {
		r := msal.UserRequest{Tenant: tenantOf(into, o), Scopes: p.scopesOf(o), Claims: o.Claims}
		return p.client.UserPassword(ctx, r, username, password)
	})
}

// onBehalfOf signs the user of an assertion in.
func (p *App) onBehalfOf(ctx context.Context, assertion tokencache.Secret) (*Account, error) {
	if assertion == "" {
		return nil, errors.New("account: sign in: there is no assertion")
	}
	sum := sha256.Sum256([]byte(assertion.Reveal()))
	digest := string(sum[:])
	if who, known := p.callers.get(digest); known {
		a := p.account(who)
		if _, err := a.TokenSource().Token(ctx); err == nil {
			return a, nil
		}
		p.callers.drop(digest) // the user has signed out, or can't be refreshed: the provider decides
	}
	a, err := p.userSignIn(ctx, nil, AuthOptions{}, func() (tokencache.TokenResponse, error) {
		return p.client.OnBehalfOf(ctx, msal.UserRequest{Scopes: p.config.Scopes}, assertion)
	})
	if expires := expiryOf(assertion); err == nil && !expires.IsZero() {
		p.callers.add(digest, a.User(), expires)
	}
	return a, err
}

// expiryOf is when a JSON web token expires by its own word, which the provider has
// checked; the zero time if the token doesn't say.
func expiryOf(token tokencache.Secret) time.Time {
	claims, err := readClaims(token.Reveal())
	var expires float64
	if err != nil || json.Unmarshal(claims["exp"], &expires) != nil || !(expires > 0 && expires < 1<<40) {
		return time.Time{}
	}
	return time.Unix(int64(expires), 0)
}

package msal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Refresh is a [core.RefreshFunc]: it leaves in cache what the provider gives
// for the refresh token of the query's user, or, for a query of the
// application itself, for the client's credential.
//
// It always asks the provider, whatever is in the cache. Where the cache has no
// refresh token for the query, or the provider refuses it, Refresh says
// [core.ErrReauthRequired]; a failure on the way to the provider stays what it is. An
// answer for another account is refused, and changes nothing.
//
// The request goes to the query's tenant, or else to the one that the user
// signed in to, because a token cache files tokens under the tenant as it was
// named then ("common", for one), and finds them under no other name.
func (c *Client) Refresh(ctx context.Context, cache *tokencache.Cache, r core.Refresh) error {
	q := r.Query
	if q.ClientID != "" && q.ClientID != c.id {
		return fmt.Errorf("msal: refresh: the tokens wanted are client %s's, this is client %s", q.ClientID, c.id)
	}
	q.ClientID = c.id
	if q.App {
		response, err := c.AppToken(ctx, AppRequest{Tenant: q.Tenant, Scopes: q.Scopes, Claims: r.Claims})
		if err != nil {
			return err
		}
		return cache.Put(response)
	}
	account, token, err := stored(cache, q)
	if err != nil {
		return fmt.Errorf("msal: refresh: %w", err)
	}
	scopes := Scopes(q.Scopes...)
	if len(scopes) == 0 { // any token will do: the same again
		last, _ := cache.AccessToken(q)
		scopes = Scopes(last.Scopes...)
	}
	if len(scopes) == 0 {
		return errors.New("msal: refresh: no scopes are named, and no token is there to take them from")
	}
	address, realm := c.authority.at(cmp.Or(q.Tenant, account.Realm))
	document, err := documentOf(token, c.id)
	if err != nil {
		return err
	}
	a, err := c.call("refresh", document, func(x *exchange) error {
		return c.silent(ctx, x, address, token, scopes, r.Claims)
	})
	if err != nil {
		return err
	}
	idToken, _ := cache.IDToken(q)
	if err := a.checkOwner(token.HomeAccountID, idToken.Secret); err != nil {
		return fmt.Errorf("msal: refresh: %w", err)
	}
	return cache.Put(a.response("refresh_token", c.id, token.Environment, realm, token.HomeAccountID, scopes))
}

// silent has MSAL trade the refresh token, the only one it finds in its cache.
func (c *Client) silent(ctx context.Context, x *exchange, authority string, token tokencache.RefreshToken, scopes []string, claims string) error {
	account := public.Account{HomeAccountID: token.HomeAccountID, Environment: token.Environment}
	if c.credential == nil {
		client, err := c.public(x, authority)
		if err != nil {
			return err
		}
		options := []public.AcquireSilentOption{public.WithSilentAccount(account)}
		if claims != "" {
			options = append(options, public.WithClaims(claims))
		}
		_, err = client.AcquireTokenSilent(ctx, scopes, options...)
		return c.unsent(err, token)
	}
	client, err := c.confidential(x, authority)
	if err != nil {
		return err
	}
	options := []confidential.AcquireSilentOption{confidential.WithSilentAccount(account)}
	if claims != "" {
		// A confidential client's silent call refuses WithClaims. These are
		// sent in the same parameter, and what else sets them apart, the key
		// that MSAL would cache the token under, doesn't matter here.
		options = append(options, confidential.WithClaimsFromClient(claims))
	}
	_, err = client.AcquireTokenSilent(ctx, scopes, options...)
	return c.unsent(err, token)
}

// unsent explains why MSAL didn't send a refresh token that it was handed: it
// belongs to another host. MSAL has no value to compare that error with
// (base.Client.AcquireTokenSilent).
func (c *Client) unsent(err error, token tokencache.RefreshToken) error {
	if err == nil || err.Error() != "no token found" {
		return err
	}
	return fmt.Errorf("%w: the refresh token is for %s, not for %s", core.ErrReauthRequired, token.Environment, c.authority.host)
}

// AppRequest is what AppToken asks for.
type AppRequest struct {
	Tenant string   // a tenant's ID or domain; "" is the authority's
	Scopes []string // as a rule one, such as "https://graph.microsoft.com/.default"
	Claims string   // a claims challenge to answer; "" for none
}

// AppToken asks for an access token of the application itself (the client
// credentials grant, RFC 6749 section 4.4). Only a confidential client can.
func (c *Client) AppToken(ctx context.Context, r AppRequest) (tokencache.TokenResponse, error) {
	if c.credential == nil {
		return tokencache.TokenResponse{}, errors.New("msal: client credentials: the client has no credential")
	}
	if len(r.Scopes) == 0 {
		return tokencache.TokenResponse{}, errors.New("msal: client credentials: no scopes are named")
	}
	address, realm := c.authority.at(r.Tenant)
	a, err := c.call("client credentials", emptyDocument, func(x *exchange) error {
		client, err := c.confidential(x, address)
		if err != nil {
			return err
		}
		var options []confidential.AcquireByCredentialOption
		if r.Claims != "" {
			options = append(options, confidential.WithClaims(r.Claims))
		}
		_, err = client.AcquireTokenByCredential(ctx, r.Scopes, options...)
		return err
	})
	if err != nil {
		return tokencache.TokenResponse{}, err
	}
	return a.response("client_credentials", c.id, c.authority.host, realm, "", r.Scopes), nil
}

// stored returns the user a query means, and the refresh token to spend.
func stored(cache *tokencache.Cache, q tokencache.Query) (tokencache.Account, tokencache.RefreshToken, error) {
	if cache.Ambiguous(q) {
		return tokencache.Account{}, tokencache.RefreshToken{}, tokencache.ErrAmbiguous
	}
	account, _ := cache.Account(q)
	token, ok := cache.RefreshToken(q)
	if !ok {
		return account, token, fmt.Errorf("%w: there is no refresh token", core.ErrReauthRequired)
	}
	return account, token, nil
}

var emptyDocument = []byte("{}")

// documentOf is a token cache with nothing in it but one refresh token, and
// the application's metadata, without which MSAL finds no refresh token
// (storage.Manager.Read).
func documentOf(token tokencache.RefreshToken, clientID string) ([]byte, error) {
	type entry map[string]string
	return json.Marshal(map[string]map[string]entry{
		"RefreshToken": {"token": {
			"credential_type": "RefreshToken",
			"home_account_id": token.HomeAccountID,
			"environment":     token.Environment,
			"client_id":       token.ClientID,
			"family_id":       token.FamilyID,
			"secret":          token.Secret.Reveal(),
		}},
		"AppMetadata": {"application": {
			"client_id":   clientID,
			"environment": token.Environment,
			"family_id":   token.FamilyID,
		}},
	})
}

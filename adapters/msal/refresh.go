package msal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Refresh is a [core.RefreshFunc]. It leaves in cache what the provider issues for the
// refresh token of the query's user or, for a query of the application itself, for the
// client's credential.
//
// It always asks the provider, whatever is in the cache. If the cache has no refresh
// token for the query, or the provider refuses it, Refresh returns
// [core.ErrReauthRequired]. A failure on the way to the provider is returned unchanged.
// An answer for another account is refused, and changes nothing. If the record's lease
// was lost before the request could be sent, Refresh sends nothing and returns
// [core.ErrLeaseLost].
//
// Its errors have a [core.FailureScope].
//
// The request goes to the query's tenant, or else to the one in which the user signed in.
// A token cache stores tokens under the tenant's name at that time, for example "common",
// and finds them under no other name.
func (c *Client) Refresh(ctx context.Context, cache *tokencache.Cache, r core.Refresh) error {
	q, err := c.ownQuery(r.Query)
	if err != nil {
		return fmt.Errorf("msal: refresh: %w", err)
	}
	if q.App {
		response, err := c.appToken(ctx, AppRequest{Tenant: q.Tenant, Scopes: q.Scopes, Claims: r.Claims}, r.LeaseHeld)
		if err != nil {
			return err
		}
		return cache.Put(response)
	}
	account, token, err := c.stored(cache, q)
	if err != nil {
		return fmt.Errorf("msal: refresh: %w", err)
	}
	scopes := Scopes(q.Scopes...)
	if len(scopes) == 0 { // any token is accepted: ask for the same again
		last, found := cache.AccessToken(q)
		if scopes = Scopes(last.Scopes...); found && len(scopes) == 0 {
			scopes = identityScope
		}
	}
	if len(scopes) == 0 {
		return errors.New("msal: refresh: the query has no scopes, and the record has no token whose scopes could be used")
	}
	address, realm := c.authority.at(cmp.Or(q.Tenant, account.Realm))
	document, err := c.documentOf(token)
	if err != nil {
		return err
	}
	x := c.exchange(document)
	x.leaseHeld = r.LeaseHeld
	a, err := x.call("refresh", func() error {
		return c.silent(ctx, x, address, token, scopes, r.Claims)
	})
	if err != nil {
		return err
	}
	known := owner{homeAccountID: token.HomeAccountID, username: account.Username}
	idToken, _ := cache.IDToken(q)
	known.idToken = idToken.Secret
	if strings.EqualFold(account.Realm, realm) {
		known.localAccountID = account.LocalAccountID
	}
	if err := a.checkOwner(known); err != nil {
		return fmt.Errorf("msal: refresh: %w", err)
	}
	a.ClientInfo = "" // the tokens replace those in the record, under the ID that those have
	if err := cache.Put(a.response("refresh_token", c.id, token.Environment, realm, token.HomeAccountID, scopes)); err != nil {
		return userFault(fmt.Errorf("msal: refresh: %w", err)) // the refresh token is spent
	}
	return nil
}

// ownQuery returns the query with the client and the provider written out, or an error if
// it means others than this client's.
func (c *Client) ownQuery(q tokencache.Query) (tokencache.Query, error) {
	if q.ClientID != "" && !strings.EqualFold(q.ClientID, c.id) {
		return q, fmt.Errorf("the query asks for tokens of client %s, and this is client %s", core.Printable(q.ClientID), c.id)
	}
	if q.Environment != "" && !sameProvider(q.Environment, c.authority.host) {
		return q, fmt.Errorf("the query asks for tokens of %s, and this client asks %s", core.Printable(q.Environment), c.authority.host)
	}
	q.ClientID, q.Environment = c.id, c.authority.host
	return q, nil
}

// silent makes MSAL send the refresh token, the only one that it finds in its cache.
func (c *Client) silent(ctx context.Context, x *exchange, authority string, token tokencache.RefreshToken, scopes []string, claims string) error {
	account := public.Account{HomeAccountID: token.HomeAccountID, Environment: c.authority.host}
	if c.credentials == nil {
		client, err := c.public(x, authority)
		if err != nil {
			return err
		}
		options := []public.AcquireSilentOption{public.WithSilentAccount(account)}
		if claims != "" {
			options = append(options, public.WithClaims(claims))
		}
		_, err = client.AcquireTokenSilent(ctx, scopes, options...)
		return err
	}
	client, err := c.confidential(x, authority)
	if err != nil {
		return err
	}
	options := []confidential.AcquireSilentOption{confidential.WithSilentAccount(account)}
	if claims != "" {
		// A confidential client's silent call refuses WithClaims. These claims are sent
		// in the same parameter. They also change the key under which MSAL would cache
		// the token, which doesn't matter here.
		options = append(options, confidential.WithClaimsFromClient(claims))
	}
	_, err = client.AcquireTokenSilent(ctx, scopes, options...)
	return err
}

// AppRequest is what AppToken asks for.
type AppRequest struct {
	Tenant string   // a tenant's ID or domain; "" is the authority's
	Scopes []string // usually one, such as "https://graph.microsoft.com/.default"; split by tokencache.SplitScopes
	Claims string   // a claims challenge to answer; "" for none
}

// AppToken asks for an access token of the application itself (the client credentials
// grant, RFC 6749 section 4.4). Only a confidential client can do that.
//
// Members that make the answer look like a user's are ignored: client_info, an ID token,
// and a refresh token, which RFC 6749 section 4.4.3 tells providers to leave out.
func (c *Client) AppToken(ctx context.Context, r AppRequest) (tokencache.TokenResponse, error) {
	return c.appToken(ctx, r, nil)
}

func (c *Client) appToken(ctx context.Context, r AppRequest, leaseHeld func() bool) (tokencache.TokenResponse, error) {
	if c.credentials == nil {
		return tokencache.TokenResponse{}, errors.New("msal: client credentials: the client has no credential")
	}
	scopes := tokencache.SplitScopes(r.Scopes...)
	if len(scopes) == 0 {
		return tokencache.TokenResponse{}, errors.New("msal: client credentials: the request has no scopes")
	}
	address, realm := c.authority.at(r.Tenant)
	x := c.exchange(emptyDocument)
	x.leaseHeld = leaseHeld
	a, err := x.call("client credentials", func() error {
		client, err := c.confidential(x, address)
		if err != nil {
			return err
		}
		var options []confidential.AcquireByCredentialOption
		if r.Claims != "" {
			options = append(options, confidential.WithClaims(r.Claims))
		}
		_, err = client.AcquireTokenByCredential(ctx, scopes, options...)
		return err
	})
	if err != nil {
		return tokencache.TokenResponse{}, err
	}
	a.ClientInfo, a.IDToken, a.RefreshToken = "", "", ""
	return a.response("client_credentials", c.id, c.authority.host, realm, "", scopes), nil
}

// stored returns the user whom a query means, and the refresh token to send.
func (c *Client) stored(cache *tokencache.Cache, q tokencache.Query) (tokencache.Account, tokencache.RefreshToken, error) {
	if cache.Ambiguous(q) {
		return tokencache.Account{}, tokencache.RefreshToken{}, tokencache.ErrAmbiguous
	}
	account, _ := cache.Account(q)
	token, ok := cache.RefreshToken(q)
	if _, hasToken := cache.AccessToken(anyOf(q)); !ok && hasToken {
		return account, token, fmt.Errorf("%w: the sign-in at %s brought no refresh token: the permission offline_access is missing, in what was asked for or in the application's registration", core.ErrReauthRequired, c.authority.host)
	}
	if !ok || !sameProvider(token.Environment, c.authority.host) { // a record must not decide where a token is sent
		return account, token, fmt.Errorf("%w: there is no refresh token for %s", core.ErrReauthRequired, c.authority.host)
	}
	return account, token, nil
}

// anyOf is the query for any access token of its user.
func anyOf(q tokencache.Query) tokencache.Query {
	q.Scopes = nil
	return q
}

var emptyDocument = []byte("{}")

// documentOf returns a token cache with only one refresh token, and the application's
// metadata, without which MSAL finds no refresh token (storage.Manager.Read). Both have
// this client's spelling of the provider and itself, because MSAL compares letter by
// letter.
func (c *Client) documentOf(token tokencache.RefreshToken) ([]byte, error) {
	type entry map[string]string
	client := token.ClientID // a family's token may be another client's
	if strings.EqualFold(client, c.id) {
		client = c.id
	}
	return json.Marshal(map[string]map[string]entry{
		"RefreshToken": {"token": {
			"credential_type": "RefreshToken",
			"home_account_id": token.HomeAccountID,
			"environment":     c.authority.host,
			"client_id":       client,
			"family_id":       token.FamilyID,
			"secret":          token.Secret.Reveal(),
		}},
		"AppMetadata": {"application": {
			"client_id":   c.id,
			"environment": c.authority.host,
			"family_id":   token.FamilyID,
		}},
	})
}

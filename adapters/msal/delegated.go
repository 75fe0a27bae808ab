package msal

import (
	"context"
	"errors"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// UserRequest is what OnBehalfOf and UserPassword ask for.
type UserRequest struct {
	Tenant string   // a tenant's ID or domain; "" is the authority's
	Scopes []string // read by Scopes; the reserved ones are always asked for
	Claims string   // a claims challenge to answer
}

// OnBehalfOf exchanges the access token that was sent to an API for the user's tokens for
// another API
// (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow).
// assertion is that token, which was issued for this client. Only a confidential client
// can do that.
func (c *Client) OnBehalfOf(ctx context.Context, r UserRequest, assertion tokencache.Secret) (tokencache.TokenResponse, error) {
	if !c.Confidential() {
		return tokencache.TokenResponse{}, errors.New("msal: on behalf of: the client has no credential")
	}
	scopes := orIdentity(Scopes(r.Scopes...))
	authority, realm := c.authority.at(r.Tenant)
	x := c.exchange(emptyDocument)
	a, err := x.call("on behalf of", func() error {
		client, err := c.confidential(x, authority)
		if err != nil {
			return err
		}
		var options []confidential.AcquireOnBehalfOfOption
		if r.Claims != "" {
			options = append(options, confidential.WithClaims(r.Claims))
		}
		_, err = client.AcquireTokenOnBehalfOf(ctx, assertion.Reveal(), scopes, options...)
		return err
	})
	return c.usersTokens("on behalf of", "urn:ietf:params:oauth:grant-type:jwt-bearer", a, realm, scopes, err)
}

// UserPassword exchanges a user's name and password for tokens (RFC 6749 section 4.3).
// Microsoft advises against it:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc.
//
// The credential of a confidential client isn't sent, because MSAL Go 1.10.1 can't do it
// (accesstokens.Client.FromUsernamePassword): the application must be registered to allow
// public client flows. A user whose sign-in is federated to another provider is refused,
// and the password is sent to nobody.
func (c *Client) UserPassword(ctx context.Context, r UserRequest, username string, password tokencache.Secret) (tokencache.TokenResponse, error) {
	scopes := orIdentity(Scopes(r.Scopes...))
	authority, realm := c.authority.at(r.Tenant)
	x := c.exchange(emptyDocument)
	a, err := x.call("password", func() error {
		client, err := c.public(x, authority)
		if err != nil {
			return err
		}
		var options []public.AcquireByUsernamePasswordOption
		if r.Claims != "" {
			options = append(options, public.WithClaims(r.Claims))
		}
		//lint:ignore SA1019 python-o365 has this flow
		_, err = client.AcquireTokenByUsernamePassword(ctx, scopes, username, password.Reveal(), options...)
		return err
	})
	return c.usersTokens("password", "password", a, realm, scopes, err)
}

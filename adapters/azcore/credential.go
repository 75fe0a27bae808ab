// Package azcore lets clients of Azure's SDKs use the tokens in a [core.Store], and lets
// stores use Azure's credentials to refresh.
//
// A [Credential] is an azcore.TokenCredential, for msgraph-sdk-go and every Azure SDK
// client:
//
//	credential := azcore.New(account, azcore.Options{})
//	client, err := azsecrets.NewClient(vaultURL, credential, nil)
//
// [Refresh] is for the other direction. It makes a [core.RefreshFunc] from any
// azcore.TokenCredential. So a credential that runs a program for every call
// (AzureCLICredential) is asked once per expiry by all processes that share a record:
//
//	refresh := azcore.Refresh(cli)
//	source := store.TokenSource("az", tokencache.Query{Scopes: []string{"https://graph.microsoft.com/.default"}}, refresh)
package azcore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Sources returns token sources for scopes. An account.Account is one, and so is a
// [SourceFunc].
type Sources interface {
	TokenSource(scopes ...string) *core.TokenSource
}

// SourceFunc is a function that implements [Sources].
type SourceFunc func(scopes ...string) *core.TokenSource

// TokenSource calls f.
func (f SourceFunc) TokenSource(scopes ...string) *core.TokenSource { return f(scopes...) }

// Options changes a Credential that New makes. The zero Options works.
type Options struct {
	// Choose returns the sources for a request that names a tenant ("" for none), or has
	// EnableCAE: its client handles the challenges of Continuous Access Evaluation. If it
	// returns nil, the request is refused.
	//
	// A record doesn't tell CAE tokens from others. So sources of CAE tokens (of an
	// application that declares the capability cp1) need a record of their own.
	//
	// If Choose is nil, New's sources serve all requests, and a token is refused if its
	// tenant isn't the one that the request names. Those sources should then declare cp1
	// only if all clients of the credential handle challenges. Clients of the Azure SDK
	// do, and always set EnableCAE.
	Choose func(tenantID string, enableCAE bool) Sources

	// Unavailable makes the errors after which azidentity.ChainedTokenCredential tries
	// its next credential: set it to azidentity.NewCredentialUnavailableError. azidentity
	// recognizes them by a method that no other package can have, and this package
	// doesn't import azidentity. A credential that is in no chain needs no Unavailable.
	Unavailable func(message string) error
}

// Credential is an azcore.TokenCredential whose tokens come from a [core.Store]. It is
// safe for concurrent use. Make one and keep it: it asks its Sources once for each set of
// scopes.
type Credential struct {
	sources Sources
	options Options

	known atomic.Pointer[map[request]*core.TokenSource] // the map is never changed
	mu    sync.Mutex                                    // held while known is replaced
}

var _ azcore.TokenCredential = (*Credential)(nil)

// request is the key of a token source that is kept.
type request struct {
	tenantID, scopes string
	enableCAE        bool
}

// New returns a credential whose tokens come from s. It does no I/O.
func New(s Sources, o Options) *Credential {
	return &Credential{sources: s, options: o}
}

// GetToken returns a token for the scopes. Usually there is one scope, such as
// "https://graph.microsoft.com/.default", which fits any token of that resource. If there
// are claims, they answer a claims challenge, so a new token is obtained. [Options]
// explains the tenant and EnableCAE.
//
// Its errors are ctx's own, [*AuthenticationRequiredError], [*UnavailableError] and
// [*AuthenticationFailedError], which wrap those of the store and the provider.
func (c *Credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	source, err := c.source(o)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	var token *tokencache.AccessToken
	if o.Claims == "" {
		token, err = source.Shared(ctx)
	} else {
		token, err = source.Shared(ctx, core.Claims(o.Claims))
	}
	if err != nil {
		return azcore.AccessToken{}, c.explain(ctx, o, err)
	}
	if o.TenantID != "" && c.options.Choose == nil && !isOfTenant(token, o.TenantID) {
		return azcore.AccessToken{}, failed(fmt.Errorf("the request is for tenant %s, and the token belongs to %s; set Options.Choose to serve several tenants",
			core.Printable(o.TenantID), core.Printable(token.Realm)))
	}
	return azcore.AccessToken{Token: token.Secret.Reveal(), ExpiresOn: token.ExpiresOn.UTC(), RefreshOn: token.RefreshOn.UTC()}, nil
}

// maxSources limits the sources that a credential keeps. A program asks for few sets of
// scopes; one that asks for hundreds gets new sources each time.
const maxSources = 100

// source returns the token source for a request.
func (c *Credential) source(o policy.TokenRequestOptions) (*core.TokenSource, error) {
	id := request{tenantID: o.TenantID, scopes: strings.Join(o.Scopes, " "), enableCAE: o.EnableCAE}
	if c.options.Choose == nil {
		id.tenantID, id.enableCAE = "", false
	}
	var source *core.TokenSource
	if known := c.known.Load(); known != nil {
		source = (*known)[id]
	}
	if source != nil {
		return source, nil
	}
	if len(o.Scopes) == 0 {
		return nil, failed(errors.New("the request names no scopes"))
	}
	sources := c.sources
	if c.options.Choose != nil {
		sources = c.options.Choose(o.TenantID, o.EnableCAE)
	}
	if sources != nil {
		source = sources.TokenSource(o.Scopes...)
	}
	if source == nil {
		return nil, failed(fmt.Errorf("there is no token source for the request (tenant %q, EnableCAE %t)", core.Printable(o.TenantID), o.EnableCAE))
	}
	c.keep(id, source)
	return source, nil
}

func (c *Credential) keep(id request, source *core.TokenSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[request]*core.TokenSource)
	if known := c.known.Load(); known != nil && len(*known) < maxSources {
		maps.Copy(next, *known)
	}
	next[id] = source
	c.known.Store(&next)
}

// isOfTenant reports whether a token belongs to a tenant, as far as its record tells: the
// token's realm is the tenant, or a word for the user's own ("common").
func isOfTenant(token *tokencache.AccessToken, tenantID string) bool {
	if !isTenant(token.Realm) {
		_, home, _ := strings.Cut(token.HomeAccountID, ".")
		return strings.EqualFold(home, tenantID)
	}
	return strings.EqualFold(token.Realm, tenantID)
}

// isTenant reports whether a realm names one tenant.
// https://learn.microsoft.com/entra/identity-platform/msal-client-application-configuration#authority
func isTenant(realm string) bool {
	switch strings.ToLower(realm) {
	case "", "common", "organizations", "consumers":
		return false
	}
	return true
}

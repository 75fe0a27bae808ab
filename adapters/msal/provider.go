package msal

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

// Provider is what an identity provider says about itself in its discovery document
// (OpenID Connect Discovery section 3).
type Provider struct {
	// Issuer signs the provider's ID tokens. Microsoft's issuer for several tenants
	// contains the word {tenantid}, which each token's tid claim replaces.
	Issuer string `json:"issuer"`
	// NamesIssuer is true if every answer to the browser has the parameter iss (RFC 9207
	// section 3).
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`

	token, device string // endpoints
}

// IsIssuer reports whether issuer is the provider's issuer, for the tenant with the ID
// tid, or for any tenant if tid is empty.
func (p Provider) IsIssuer(issuer, tid string) bool {
	before, behind, isTemplate := strings.Cut(p.Issuer, "{tenantid}")
	if !isTemplate {
		return issuer != "" && issuer == p.Issuer
	}
	rest, found := strings.CutPrefix(issuer, before)
	if !found {
		return false
	}
	of, found := strings.CutSuffix(rest, behind)
	return found && of != "" && !strings.Contains(of, "/") && (tid == "" || strings.EqualFold(of, tid))
}

// Provider asks the provider for its discovery document, once, and returns what it says
// about a tenant; "" is the authority's.
func (c *Client) Provider(ctx context.Context, tenant string) (Provider, error) {
	authority, _ := c.authority.at(tenant)
	x := c.exchange(nil)
	p, err := c.discover(ctx, x, authority)
	if err != nil {
		return Provider{}, x.explain("discovery", err)
	}
	x.keepDiscovered()
	return p, nil
}

// discover makes MSAL find the provider's endpoints, and checks that they are the
// authority's. Afterwards MSAL can make the address of the sign-in page without a
// request.
func (c *Client) discover(ctx context.Context, x *exchange, authority string) (Provider, error) {
	client, err := public.New(c.id, public.WithAuthority(authority), public.WithHTTPClient(x), public.WithInstanceDiscovery(!c.noDiscovery))
	if err != nil {
		return Provider{}, err
	}
	if _, err := client.AuthCodeURL(ctx, c.id, "https://localhost", identityScope); err != nil {
		return Provider{}, err
	}
	var p Provider
	var endpoints struct {
		Token  string `json:"token_endpoint"`
		Device string `json:"device_authorization_endpoint"` // RFC 8628 section 4
	}
	if json.Unmarshal(x.openID, &p) != nil || json.Unmarshal(x.openID, &endpoints) != nil {
		return Provider{}, providerFault(errors.New("the provider's discovery document isn't valid JSON"))
	}
	p.token, p.device = endpoints.Token, endpoints.Device
	return p, nil
}

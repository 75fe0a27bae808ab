package entra

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// serveDiscovery is OpenID Connect Discovery 1.0 for one tenant. Its issuer must match
// the authority's host (MSAL Go, authority.go: ValidateIssuerMatchesAuthority), and the
// shared tenants say {tenantid} as Entra's do.
func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	p := providerOf(r)
	tenant := p.tenant
	s.mu.Lock()
	known, id, now := s.knowsTenant(tenant), s.tenantID(tenant), s.opts.Clock()
	s.mu.Unlock()
	if !known {
		unknownTenant(tenant).write(w, r, now)
		return
	}
	if id == "" {
		id = "{tenantid}"
	}
	at := p.at()
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                p.issuer(id),
		"authorization_endpoint":                at + "/authorize",
		"token_endpoint":                        at + "/token",
		"device_authorization_endpoint":         at + "/devicecode",
		"end_session_endpoint":                  at + "/logout",
		"jwks_uri":                              p.base + "/" + tenant + "/discovery/v2.0/keys",
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"grant_types_supported":                 []string{AuthorizationCode, Refresh, ClientCredentials, DeviceCode, Password, OnBehalfOf},
		"scopes_supported":                      oidcScopes,
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"code_challenge_methods_supported":      []string{"plain", "S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic", "private_key_jwt"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "name", "oid", "preferred_username", "tid", "email"},
	})
}

func unknownTenant(tenant string) *refusal {
	return refuse("invalid_tenant", 90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant)
}

// publicCloud are the names of one Entra. Source: MSAL Go, known_metadata.go, and the
// answer of https://login.microsoftonline.com/common/discovery/instance.
var publicCloud = []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"}

// serveInstanceDiscovery says which hosts are Entra. A host that isn't Microsoft's is
// invalid_instance, this server's own address included: as with the real one, clients
// of a private authority have to switch the question off.
func (s *Server) serveInstanceDiscovery(w http.ResponseWriter, r *http.Request) {
	asked, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || !slices.Contains(publicCloud, strings.ToLower(asked.Host)) {
		s.mu.Lock()
		now := s.opts.Clock()
		s.mu.Unlock()
		refuse("invalid_instance", 50049, "Unknown or invalid instance.").write(w, r, now)
		return
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(asked.Path, "/"), "/")
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + asked.Host + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": "login.microsoftonline.com",
			"preferred_cache":   "login.windows.net",
			"aliases":           publicCloud,
		}},
	})
}

// serveUserRealm says that a user's password is checked here and not by a federated
// directory; MSAL asks before it uses the password grant (MSAL Go, authority.go: UserRealm).
func (s *Server) serveUserRealm(w http.ResponseWriter, r *http.Request) {
	u, known := s.User(r.PathValue("username"))
	if !known {
		writeJSON(w, http.StatusOK, map[string]string{"ver": "1.0", "account_type": "Unknown"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{
		"ver": "1.0", "account_type": "Managed", "domain_name": u.domain(),
		"cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline",
	})
}

// serveKeys publishes the key of the id tokens (RFC 7517). Access tokens are nobody's
// business but Graph's, and not signed with it.
func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{s.sealer.jwk()}})
}

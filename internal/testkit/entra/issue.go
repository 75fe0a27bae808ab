package entra

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/graph"
)

// answer is a successful token response (RFC 6749 section 5.1, and Entra's additions).
type answer struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	RefreshIn    int    `json:"refresh_in,omitempty"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

// accessClaims is what an access token says, under the names Entra uses where it has some.
// Source: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
type accessClaims struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expires   int64    `json:"exp"`
	ID        string   `json:"uti"`
	Subject   string   `json:"sub"`
	ObjectID  string   `json:"oid"`
	Tenant    string   `json:"tid"`
	Client    string   `json:"appid"`
	Type      string   `json:"idtyp"` // user or app
	Username  string   `json:"upn,omitempty"`
	Name      string   `json:"name,omitempty"`
	Scopes    string   `json:"scp,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Version   string   `json:"ver"`

	// Generation is older than the server's after a revocation; Claims is the claims
	// parameter the token was asked for with. Both are this imitation's own.
	Generation uint64          `json:"testkit_gen"`
	Claims     json.RawMessage `json:"testkit_claims,omitempty"`
}

const graphResource = "https://graph.microsoft.com"

// oidcScopes are no permissions of a resource (OpenID Connect Core section 5.4, 11).
var oidcScopes = []string{"openid", "profile", "email", "offline_access"}

// issueForUser makes the answer for a signed-in user, its refresh token excepted. s.mu is held.
func (s *Server) issueForUser(c *call, client *Client, u *User, scopes []string, nonce string) (*answer, *refusal) {
	c.user = u
	if client.AdminOnly {
		return nil, refuse("invalid_grant", 65001, "The user or administrator has not consented to use the application with ID '%s'. Send an interactive authorization request for this user and resource.", client.ID).with("consent_required")
	}
	claims, refused := parseClaims(c.Claims)
	if refused != nil {
		return nil, refused
	}
	now := s.opts.Clock()
	at := s.accessClaims(c, client.ID, resourceOf(scopes), claims, now)
	at.Subject, at.ObjectID, at.Tenant, at.Type = pairwise(client, u), u.ObjectID, u.TenantID, "user"
	at.Username, at.Name, at.Scopes = u.Username, u.Name, shortScopes(scopes)
	at.Issuer = c.at.issuer(u.TenantID)
	at.Generation = s.gen[u.ObjectID]

	a, refused := s.answer(at)
	if refused != nil {
		return nil, refused
	}
	// Entra echoes scopes in the form they were asked in, and never offline_access.
	a.Scope = strings.Join(without(scopes, "offline_access"), " ")
	if slices.Contains(scopes, "openid") {
		if a.IDToken, refused = s.idToken(c, client, u, scopes, nonce, now); refused != nil {
			return nil, refused
		}
	}
	// "It happens when client_info and profile are in request": MSAL Python, token_cache.py.
	if c.clientInfo && slices.Contains(scopes, "profile") {
		a.ClientInfo = c.at.clientInfo(u)
	}
	return a, nil
}

// issueForApp makes the answer for a client's own token: no scope, no refresh token,
// no id token, no client_info. s.mu is held.
func (s *Server) issueForApp(c *call, client *Client, tenant string) (*answer, *refusal) {
	claims, refused := parseClaims(c.Claims)
	if refused != nil {
		return nil, refused
	}
	at := s.accessClaims(c, client.ID, resourceOf(c.Scopes), claims, s.opts.Clock())
	at.Subject = nameUUID("service principal " + client.ID + " " + tenant)
	at.ObjectID, at.Tenant, at.Type, at.Roles = at.Subject, tenant, "app", client.Roles
	at.Issuer = c.at.issuer(tenant)
	at.Generation = s.gen[client.ID]
	return s.answer(at)
}

func (s *Server) accessClaims(c *call, client, resource string, claims json.RawMessage, now time.Time) accessClaims {
	return accessClaims{
		Audience: resource, Client: client, ID: random(16), Version: "1.0", Claims: claims,
		IssuedAt: now.Unix(), NotBefore: now.Unix(),
		// Rounded up: the token must not die before expires_in says so.
		Expires: now.Add(s.opts.Lifetime + time.Second - 1).Unix(),
	}
}

func (s *Server) answer(at accessClaims) (*answer, *refusal) {
	token, err := s.sealer.accessToken(at)
	if err != nil {
		return nil, unexpected(err)
	}
	ext := s.opts.ExtLifetime
	if ext == 0 {
		ext = s.opts.Lifetime
	}
	return &answer{
		TokenType: "Bearer", AccessToken: token,
		ExpiresIn: seconds(s.opts.Lifetime), ExtExpiresIn: seconds(ext), RefreshIn: seconds(s.opts.RefreshIn),
	}, nil
}

// idToken follows https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference.
// tid is the user's home tenant whatever the authority, and aud is a string: MSAL Go
// doesn't take an array (tokens.go, IDToken).
func (s *Server) idToken(c *call, client *Client, u *User, scopes []string, nonce string, now time.Time) (string, *refusal) {
	claims := map[string]any{
		"ver": "2.0", "iss": c.at.issuer(u.TenantID), "aud": client.ID,
		"sub": pairwise(client, u), "oid": u.ObjectID, "tid": u.TenantID, "uti": random(16),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if slices.Contains(scopes, "profile") {
		claims["name"], claims["preferred_username"] = u.Name, u.Username
	}
	if slices.Contains(scopes, "email") {
		claims["email"] = u.Username
	}
	c.at.claims(u, claims)
	token, err := s.sealer.idToken(claims)
	if err != nil {
		return "", unexpected(err)
	}
	return token, nil
}

// pairwise is a subject that differs from client to client (OpenID Connect Core section 8.1).
func pairwise(client *Client, u *User) string {
	return nameUUID("subject " + client.ID + " " + u.ObjectID)
}

// Verify judges an access token for the Graph stand-in.
func (s *Server) Verify(token string) (graph.Token, error) {
	at, err := s.sealer.open(token)
	if err != nil {
		return graph.Token{}, graph.ErrInvalid
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	subject := at.ObjectID
	if at.Type == "app" {
		subject = at.Client
	}
	switch {
	case at.Audience != graphResource:
		return graph.Token{}, graph.ErrAudience
	case s.opts.Clock().Unix() >= at.Expires:
		return graph.Token{}, graph.ErrExpired
	case at.Generation < s.gen[subject]:
		return graph.Token{}, graph.ErrRevoked
	}
	t := graph.Token{
		Username: at.Username, Name: at.Name, ObjectID: at.ObjectID, TenantID: at.Tenant, ClientID: at.Client,
		App: at.Type == "app", Scopes: strings.Fields(at.Scopes), Roles: at.Roles,
	}
	if len(at.Claims) > 0 {
		// Valid JSON since parseClaims.
		_ = json.Unmarshal(at.Claims, &t.Claims)
	}
	return t, nil
}

// Revoke ends a user's sign-ins, as an administrator's revokeSignInSessions does: every
// refresh token and every access token from before. An empty name means everybody,
// applications included.
func (s *Server) Revoke(username string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.refresh {
		if (username == "" || strings.EqualFold(t.family.user.Username, username)) && !t.family.revoked {
			t.family.revoked = true
			s.counts.familiesRevoked++
		}
	}
	s.revokeAccess(username)
	s.counts.changed.signal()
}

// RevokeAccess makes Graph answer 401 to the access tokens a user, or a client by its
// id, has by now; refresh tokens stay good. An empty name means all.
func (s *Server) RevokeAccess(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revokeAccess(name)
}

func (s *Server) revokeAccess(name string) {
	for _, u := range s.users {
		if name == "" || strings.EqualFold(u.Username, name) {
			s.gen[u.ObjectID]++
		}
	}
	for id := range s.clients {
		if name == "" || id == name {
			s.gen[id]++
		}
	}
}

// parseClaims checks the claims parameter (OpenID Connect Core section 5.5): a JSON object.
func parseClaims(claims string) (json.RawMessage, *refusal) {
	if claims == "" {
		return nil, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(claims), &object); err != nil || object == nil {
		return nil, refuse("invalid_request", 9002333, "The 'claims' parameter is not a JSON object.")
	}
	return json.RawMessage(claims), nil
}

// resourceOf is the audience a set of scopes asks for: what stands before the last
// slash; bare names are Graph's. Source: https://learn.microsoft.com/entra/identity-platform/scopes-oidc.
func resourceOf(scopes []string) string {
	for _, scope := range without(scopes, oidcScopes...) {
		if i := strings.LastIndexByte(scope, '/'); i > 0 {
			return strings.TrimSuffix(scope[:i], "/")
		}
	}
	return graphResource
}

func oneResource(scopes []string) *refusal {
	permissions := without(scopes, oidcScopes...)
	for _, scope := range permissions {
		if resourceOf([]string{scope}) != resourceOf(permissions) {
			return refuse("invalid_scope", 28000, "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope %s is not valid.", strings.Join(scopes, " "))
		}
	}
	return nil
}

// shortScopes is the scp claim: permissions without their resource; /.default stands
// for what was consented to before, here reading one's profile and mail.
func shortScopes(scopes []string) string {
	var short []string
	for _, scope := range without(scopes, "offline_access") {
		name := scope[strings.LastIndexByte(scope, '/')+1:]
		if name == ".default" {
			short = append(short, "User.Read", "Mail.ReadWrite")
			continue
		}
		short = append(short, name)
	}
	return strings.Join(short, " ")
}

func without(scopes []string, drop ...string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return slices.Contains(drop, s) })
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func unexpected(err error) *refusal {
	return refuse("server_error", 90033, "A transient error has occurred: %v", err)
}

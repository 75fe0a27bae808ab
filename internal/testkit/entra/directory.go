package entra

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The users and clients of a server without other options.
const (
	// Ana is the default user.
	Ana = "ana@contoso.com"
	// Tenant is the home tenant of the users of contoso.com.
	Tenant = "5f0f2d5e-7a3c-4c0e-9b6a-0c0ffee00001"
	// PublicClient is a public client (a desktop or command-line application).
	PublicClient = "0b1c2d3e-0000-4000-8000-00000000c11e"
	// ConfidentialClient is a web application or daemon that proves itself with ConfidentialSecret.
	ConfidentialClient = "0b1c2d3e-0000-4000-8000-00000000daee"
	ConfidentialSecret = "s3cret~of.the-testkit"
	// UserPassword is the password of users who were given none.
	UserPassword = "correct horse battery staple"
)

// personalTenant is the tenant of all personal Microsoft accounts, the one behind
// /consumers. Source: https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference (tid).
const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// User is somebody who can sign in. Only Username is needed.
type User struct {
	Username string `json:"username"`
	Name     string `json:"name,omitempty"`
	// ObjectID and TenantID stay the same from run to run: by default they are
	// made from the user name and from its domain.
	ObjectID string `json:"object_id,omitempty"`
	TenantID string `json:"tenant_id,omitempty"`
	// Password is asked for by the password grant alone, and never told: [UserPassword] by default.
	Password string `json:"-"`
}

// HomeAccountID is MSAL's name for the user: object id and home tenant.
func (u User) HomeAccountID() string { return u.ObjectID + "." + u.TenantID }

func (u User) domain() string {
	_, domain, _ := strings.Cut(strings.ToLower(u.Username), "@")
	return domain
}

// Client is a registered application.
type Client struct {
	ID string
	// Secret or Certificates make the client confidential; without either it is public.
	// A certificate's key signs client assertions (RFC 7523 section 2.2).
	Secret       string
	Certificates []*x509.Certificate
	// OlderSecrets are good, too, as long as they are registered.
	OlderSecrets []string
	// Federated are providers of workloads whose tokens are good instead.
	// https://learn.microsoft.com/entra/workload-id/workload-identity-federation
	Federated []Federation
	// RedirectURIs must match exactly, but for the port of a loopback address
	// (RFC 8252 section 7.3). None at all means: any loopback address, and
	// the native client's page that python-o365 uses by default.
	RedirectURIs []string
	// AdminOnly clients ask for what an administrator alone can agree to, and none has.
	AdminOnly bool
	// Roles are the application permissions in its app-only tokens.
	Roles []string
}

func (c *Client) public() bool {
	return c.Secret == "" && len(c.Certificates) == 0 && len(c.Federated) == 0
}

// Federation is a provider of workload identities, such as a Kubernetes cluster, and
// which of its subjects is the application.
type Federation struct {
	Issuer, Subject string
	Key             *rsa.PublicKey
}

const nativeClientRedirect = "https://login.microsoftonline.com/common/oauth2/nativeclient"

// DefaultClients are the clients of a server that was given none.
func DefaultClients() []Client {
	return []Client{
		{ID: PublicClient},
		{ID: ConfidentialClient, Secret: ConfidentialSecret, Roles: []string{"User.Read.All", "Mail.Read"}},
	}
}

// AddUser lets one more user sign in, or changes an existing one.
func (s *Server) AddUser(u User) error {
	if u.domain() == "" {
		return fmt.Errorf("entra: user name %q is not of the form name@domain", u.Username)
	}
	if u.Name == "" {
		u.Name, _, _ = strings.Cut(u.Username, "@")
	}
	if u.ObjectID == "" {
		u.ObjectID = nameUUID("user " + strings.ToLower(u.Username))
	}
	if u.TenantID == "" {
		u.TenantID = tenantOf(u.domain())
	}
	if u.Password == "" {
		u.Password = UserPassword
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(u.Username)
	if _, known := s.users[key]; !known {
		s.order = append(s.order, key)
	}
	s.users[key] = &u
	return nil
}

// AddClient registers one more application, or changes an existing one.
func (s *Server) AddClient(c Client) error {
	if c.ID == "" {
		return fmt.Errorf("entra: a client needs an id")
	}
	c.RedirectURIs, c.Roles = slices.Clone(c.RedirectURIs), slices.Clone(c.Roles)
	c.Certificates = slices.Clone(c.Certificates)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c.ID] = &c
	return nil
}

// Users are those who can sign in, in the order they were added.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, 0, len(s.order))
	for _, key := range s.order {
		users = append(users, *s.users[key])
	}
	return users
}

// User finds one user, with the ids the server gave it.
func (s *Server) User(username string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[strings.ToLower(username)]
	if !ok {
		return User{}, false
	}
	return *u, true
}

// userIn finds a user who may sign in at a tenant segment. s.mu is held.
func (s *Server) userIn(username, tenant string) (*User, *refusal) {
	u := s.users[strings.ToLower(username)]
	if u == nil {
		return nil, refuse("invalid_grant", 50034, "The user account %s does not exist in the directory. To sign into this application, the account must be added to the directory.", username)
	}
	if r := s.admits(tenant, u); r != nil {
		return nil, r
	}
	return u, nil
}

// admits says whether a user may use a tenant segment. s.mu is held.
func (s *Server) admits(tenant string, u *User) *refusal {
	personal := u.TenantID == personalTenant
	switch strings.ToLower(tenant) {
	case "common", "adfs":
		return nil
	case "organizations":
		if !personal {
			return nil
		}
	case "consumers":
		if personal {
			return nil
		}
	default:
		if s.tenantID(tenant) == u.TenantID {
			return nil
		}
	}
	return refuse("invalid_grant", 50020, "User account '%s' from identity provider does not exist in tenant '%s' and cannot access the application in that tenant.", u.Username, tenant)
}

// tenantID resolves the first segment of a path: a GUID stays, a domain becomes the
// GUID of its tenant, the three shared names and the unknown become "". s.mu is held.
func (s *Server) tenantID(segment string) string {
	segment = strings.ToLower(segment)
	switch segment {
	case "common", "organizations", "adfs":
		return ""
	case "consumers":
		return personalTenant
	case Tenant, "contoso.com", "contoso.onmicrosoft.com":
		return Tenant
	}
	for _, u := range s.users {
		if strings.EqualFold(u.TenantID, segment) || u.domain() == segment {
			return u.TenantID
		}
	}
	return ""
}

// knowsTenant says whether a path's first segment leads anywhere. s.mu is held.
func (s *Server) knowsTenant(segment string) bool {
	switch strings.ToLower(segment) {
	case "common", "organizations", "adfs":
		return true
	}
	return s.tenantID(segment) != ""
}

// allowsRedirect says whether answers for the client may go to uri.
func (c *Client) allowsRedirect(uri string) bool {
	if len(c.RedirectURIs) == 0 {
		return uri == nativeClientRedirect || isLoopback(uri)
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		return uri == registered || isLoopback(registered) && withoutPort(uri) == withoutPort(registered)
	})
}

func isLoopback(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	return false
}

func withoutPort(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	u.Host = u.Hostname()
	return u.String()
}

func tenantOf(domain string) string {
	if domain == "contoso.com" {
		return Tenant
	}
	return nameUUID("tenant " + domain)
}

// nameUUID is the same UUID for the same name, on every machine: RFC 9562 version 8.
func nameUUID(name string) string {
	h := sha256.Sum256([]byte("graphtoken testkit " + name))
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

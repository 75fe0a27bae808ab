package entra

import (
	"crypto/subtle"
	"slices"
)

// password is RFC 6749 section 4.3, which Entra still has for work accounts. s.mu is held.
func (s *Server) password(c *call, client *Client) (*answer, *refusal) {
	for _, parameter := range []string{"username", "password", "scope"} {
		if c.form.Get(parameter) == "" {
			return nil, missing(parameter)
		}
	}
	u, refused := s.userIn(c.form.Get("username"), c.Tenant)
	if refused != nil {
		return nil, refused
	}
	c.user = u
	if u.TenantID == personalTenant || subtle.ConstantTimeCompare([]byte(u.Password), []byte(c.form.Get("password"))) != 1 {
		return nil, refuse("invalid_grant", 50126, "Error validating credentials due to invalid username or password.")
	}
	return s.startSession(c, client, u, c.Scopes)
}

// startSession answers a sign-in that has no code to remember. s.mu is held.
func (s *Server) startSession(c *call, client *Client, u *User, scopes []string) (*answer, *refusal) {
	a, refused := s.issueForUser(c, client, u, scopes, "")
	if refused == nil && slices.Contains(scopes, "offline_access") {
		_, a.RefreshToken = s.startFamily(c, client, u, scopes)
	}
	return a, refused
}

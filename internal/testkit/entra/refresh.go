package entra

import (
	"slices"
	"time"
)

// refreshTokenBytes makes refresh tokens about as long as Entra's: stores with a size
// limit should feel it.
const refreshTokenBytes = 900

// family is one sign-in: all refresh tokens that descend from it.
type family struct {
	number  int
	user    *User
	client  string
	scopes  []string
	revoked bool
}

// refreshToken is one of a family's. Outside strict mode it may be spent again and again.
type refreshToken struct {
	family    *family
	value     string
	expires   time.Time
	spentAt   time.Time     // zero until its first use
	successor *refreshToken // what its first use brought
	reply     *answer       // and the answer that carried it, for the reuse grace
	asked     []string      // what that use asked for
}

// startFamily begins a sign-in's refresh tokens. s.mu is held.
func (s *Server) startFamily(c *call, client *Client, u *User, scopes []string) *refreshToken {
	s.families++
	c.family = s.families
	return s.addToken(&family{number: s.families, user: u, client: client.ID, scopes: slices.Clone(scopes)})
}

func (s *Server) addToken(f *family) *refreshToken {
	t := &refreshToken{family: f, value: "1." + random(refreshTokenBytes), expires: s.opts.Clock().Add(s.opts.RefreshLifetime)}
	s.refresh[t.value] = t
	return t
}

// redeemRefresh is RFC 6749 section 6, and in strict mode RFC 9700 section 4.14.2. s.mu is held.
func (s *Server) redeemRefresh(c *call, client *Client, omit bool) (*answer, *refusal) {
	value := c.form.Get("refresh_token")
	if value == "" {
		return nil, missing("refresh_token")
	}
	t := s.refresh[value]
	if t == nil {
		return nil, refuse("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.").with("bad_token")
	}
	f := t.family
	c.user, c.family = f.user, f.number
	now := s.opts.Clock()
	switch {
	case f.client != client.ID:
		return nil, refuse("invalid_grant", 70000, "Provided grant is invalid: the refresh token was issued to another client.").with("client_mismatch")
	case now.After(t.expires):
		return nil, refuse("invalid_grant", 700082, "The refresh token has expired due to inactivity.")
	}
	spent := s.opts.Strict && !t.spentAt.IsZero()
	graced := spent && now.Sub(t.spentAt) <= s.opts.ReuseGrace
	if spent && !graced {
		s.counts.reuseDetected++
		if !f.revoked {
			f.revoked = true
			s.counts.familiesRevoked++
		}
		return nil, refuse("invalid_grant", 70000, "Provided grant is invalid: the refresh token was already redeemed, and all tokens of its sign-in are revoked.")
	}
	if f.revoked {
		return nil, refuse("invalid_grant", 50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed.")
	}
	if refused := s.admits(c.Tenant, f.user); refused != nil {
		return nil, refused
	}
	scopes := c.Scopes
	if len(scopes) == 0 {
		scopes = f.scopes
	}

	if graced {
		s.counts.reuseGraced++
		return s.repeat(c, client, t, scopes, now)
	}
	a, refused := s.issueForUser(c, client, f.user, scopes, "")
	if refused != nil {
		return nil, refused
	}
	if omit {
		// The old one stays the good one, as with providers that never rotate.
		return a, nil
	}
	next := s.addToken(f)
	a.RefreshToken = next.value
	if t.spentAt.IsZero() {
		t.spentAt, t.successor, t.asked = now, next, slices.Clone(scopes)
		kept := *a
		t.reply = &kept
	}
	return a, nil
}

// repeat answers a spent token within its grace: the same successor, in the same answer
// if the same was asked for. s.mu is held.
func (s *Server) repeat(c *call, client *Client, t *refreshToken, scopes []string, now time.Time) (*answer, *refusal) {
	if slices.Equal(scopes, t.asked) && c.Claims == "" {
		again := *t.reply
		// What is left of the lifetime is less by now.
		passed := int(now.Sub(t.spentAt) / time.Second)
		again.ExpiresIn = max(again.ExpiresIn-passed, 0)
		again.ExtExpiresIn = max(again.ExtExpiresIn-passed, 0)
		return &again, nil
	}
	a, refused := s.issueForUser(c, client, t.family.user, scopes, "")
	if refused != nil {
		return nil, refused
	}
	a.RefreshToken = t.successor.value
	return a, nil
}

package entra

import (
	"crypto/sha256"
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

// refreshToken is one of a family's. Outside strict mode it may be spent again and
// again. Its value is not kept: servers see hundreds of thousands of them in a stress test.
type refreshToken struct {
	family  *family
	expires time.Time
	spentAt time.Time // zero until its first use
	reply   *answer   // what that use was answered, kept if there is a grace
	asked   []string  // and what it had asked for
}

// digest is what a refresh token is found by.
type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// startFamily begins a sign-in's refresh tokens and returns the first. s.mu is held.
func (s *Server) startFamily(c *call, client *Client, u *User, scopes []string) (*family, string) {
	s.families++
	c.family = s.families
	f := &family{number: s.families, user: u, client: client.ID, scopes: slices.Clone(scopes)}
	return f, s.extend(f)
}

// extend adds a refresh token to a family. s.mu is held.
func (s *Server) extend(f *family) string {
	token := "1." + random(refreshTokenBytes)
	s.refresh[digestOf(token)] = &refreshToken{family: f, expires: s.opts.Clock().Add(s.opts.RefreshLifetime)}
	return token
}

// redeemRefresh is RFC 6749 section 6, and in strict mode RFC 9700 section 4.14.2. s.mu is held.
func (s *Server) redeemRefresh(c *call, client *Client, omit bool) (*answer, *refusal) {
	value := c.form.Get("refresh_token")
	if value == "" {
		return nil, missing("refresh_token")
	}
	t := s.refresh[digestOf(value)]
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
	graced := spent && t.reply != nil && now.Sub(t.spentAt) <= s.opts.ReuseGrace
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
	a.RefreshToken = s.extend(f)
	if t.spentAt.IsZero() {
		t.spentAt = now
		if s.opts.Strict && s.opts.ReuseGrace > 0 {
			kept := *a
			t.reply, t.asked = &kept, slices.Clone(scopes)
		}
	}
	return a, nil
}

// repeat answers a request with a spent token within its grace: with the same new refresh
// token, and with the same answer if the scopes are the same. s.mu is held.
func (s *Server) repeat(c *call, client *Client, t *refreshToken, scopes []string, now time.Time) (*answer, *refusal) {
	if slices.Equal(scopes, t.asked) && c.Claims == "" {
		again := *t.reply
		// Part of the lifetime has passed by now.
		passed := int(now.Sub(t.spentAt) / time.Second)
		again.ExpiresIn = max(again.ExpiresIn-passed, 0)
		again.ExtExpiresIn = max(again.ExtExpiresIn-passed, 0)
		return &again, nil
	}
	a, refused := s.issueForUser(c, client, t.family.user, scopes, "")
	if refused != nil {
		return nil, refused
	}
	a.RefreshToken = t.reply.RefreshToken
	return a, nil
}

package tokencache

import "time"

// maxSkew is the largest difference between the clocks of machines that share a record.
// If it is larger, one machine refuses the other's tokens.
const maxSkew = 5 * time.Minute

// At returns the token with its times by a clock that says now. It returns false if this
// clock can't judge the token: a token that was stamped more than 5 minutes in the future
// comes from a machine whose clock is fast, so its expiry is wrong by as much. MSAL
// refuses such a token, too (for example AccessToken.Validate in MSAL Go).
//
// In the refresh that follows, Put notes by how much the other clock is ahead. From then
// on tokens of that machine are good here, with their times moved back, so two machines
// whose clocks differ by hours don't refresh in turns for ever. If a token's times are
// then still in the future, it is refused, and Put notes the larger difference.
func (t AccessToken) At(now time.Time) (AccessToken, bool) {
	latest := now.Add(maxSkew)
	if !t.CachedAt.After(latest) {
		return t, true
	}
	if t.ahead == 0 || t.CachedAt.Add(-t.ahead).After(latest) {
		return t, false
	}
	for _, at := range []*time.Time{&t.CachedAt, &t.ExpiresOn, &t.RefreshOn} {
		if !at.IsZero() {
			*at = at.Add(-t.ahead)
		}
	}
	t.ahead = 0
	return t, true
}

// ahead returns by how many seconds another machine's clock is ahead: the most that the
// user's tokens tell, or 0.
func (p *putting) ahead() int64 {
	var ahead int64
	for _, e := range p.g {
		if e.kind != accessTokens {
			continue
		}
		ahead = max(ahead, e.number(aheadBy))
		if by := e.number(cachedAt) - p.r.Sent.Unix(); by > int64(maxSkew/time.Second) {
			ahead = max(ahead, by)
		}
	}
	return min(ahead, endOfTime)
}

func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), endOfTime/1000)) * time.Second
}

const (
	// defaultLifetime is the lifetime of a token if neither the answer nor the token tells
	// it.
	defaultLifetime = 60 * 60
	// maxLifetime limits the lifetime in an answer: no access token lives for a year.
	maxLifetime = 365 * 24 * 60 * 60
)

func clampLifetime(seconds int) int { return min(max(seconds, -maxLifetime), maxLifetime) }

// lifetime is the access token's lifetime in seconds, from Sent.
func (r TokenResponse) lifetime() int {
	if r.ExpiresIn != 0 {
		return clampLifetime(r.ExpiresIn)
	}
	sent := r.Sent.Unix()
	if left := r.ExpiresOn - sent; r.ExpiresOn > 0 && left > 0 {
		return int(min(left, maxLifetime))
	}
	// The times in the token are by the provider's clock, and Sent is by ours.
	if c, err := readClaims(r.AccessToken); err == nil {
		expires, issued := c.date("exp"), c.date("iat")
		left := expires - sent
		if issued > 0 && (left <= 0 || left > expires-issued) {
			left = expires - issued
		}
		if expires > 0 && left > 0 {
			return int(min(left, maxLifetime))
		}
	}
	return defaultLifetime
}

package tokencache

import "time"

// maxSkew is how far the clocks of machines that share a record may be apart
// before a token of one is refused at another.
const maxSkew = 5 * time.Minute

// At returns the token as a clock has it that says now, or false if that clock
// must not judge it: a token that was stamped more than 5 minutes in the future
// comes from a machine whose clock is fast, and its expiry is off by as much.
// MSAL refuses such a token (AccessToken.Validate in MSAL Go, for one). Whoever
// is refused refreshes; Put then notes by how much the other clock is ahead,
// and later tokens of that machine are good here, with their times moved back
// by so much. So two machines whose clocks differ by hours don't refresh in
// turns for ever: the fast one refreshes once more, because the slow one's
// token has expired by its clock, and from then on both use the token it got.
//
// What was noted is too little by the age that the token had then, at most. A
// token whose times, moved back, are still in the future is refused, and Put
// notes the larger difference.
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

// ahead is by how many seconds the clock of another machine is ahead, the most
// that the user's tokens tell; 0 if none is.
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
	// defaultLifetime is of a token that nothing is known of.
	defaultLifetime = 60 * 60
	// maxLifetime bounds what a provider says: no access token lives for a year.
	maxLifetime = 365 * 24 * 60 * 60
)

func clampLifetime(seconds int) int { return min(max(seconds, -maxLifetime), maxLifetime) }

// lifetime is how long the access token is good for, in seconds from Sent.
func (r TokenResponse) lifetime() int {
	if r.ExpiresIn != 0 {
		return clampLifetime(r.ExpiresIn)
	}
	sent := r.Sent.Unix()
	if left := r.ExpiresOn - sent; r.ExpiresOn > 0 && left > 0 {
		return int(min(left, maxLifetime))
	}
	// The provider's clock counts in the token, and Sent is ours.
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

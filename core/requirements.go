package core

import (
	"time"
	"unique"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// requirements are what a call demands of its token.
type requirements struct {
	minValidity time.Duration
	claims      string
	rejected    tokencache.Secret
	force       bool // a new token, even if the present one is valid
	unstored    bool // see Unstored
	background  bool // no caller waits: the token has to be past its refresh window
}

func (r *requirements) apply(opts []TokenOption) {
	for _, o := range opts {
		r.minValidity = max(r.minValidity, o.minValidity)
		r.unstored = r.unstored || o.unstored
		if o.claims != "" {
			r.claims = o.claims
		}
		if o.rejected != (unique.Handle[tokencache.Secret]{}) {
			r.rejected = o.rejected.Value()
		}
	}
}

// allow reports whether a token may be returned at all. In an outage, this is enough.
func (r *requirements) allow(t *heldToken, now time.Time) bool {
	return now.Before(t.token.ExpiresOn) && t.token.Secret != r.rejected && (r.claims == "" || r.claims == t.claims)
}

// met reports whether a token that is allowed is returned without a wait for another one,
// to a call that began when begun tokens had been obtained. If no token is ever valid for
// as long as the call demands, a young token is accepted; otherwise every call would cost
// a refresh.
func (r *requirements) met(t *heldToken, begun uint64, now time.Time) bool {
	if r.background && isDue(t.refreshAt, now) {
		return false
	}
	left, age := t.token.ExpiresOn.Sub(now), now.Sub(time.Unix(0, t.issued))
	life := left + age
	return left >= r.minValidity || r.minValidity >= life && age < life/2 || t.obtained > begun
}

// replacementTime is how long a token that a refresh brought, or that replaced a refused
// one, is kept when a resource refuses it. The resource then refuses whatever the
// provider issues, and one more refresh per request would not change that.
const replacementTime = time.Minute

// stands reports whether a refused token is returned again.
func (r *requirements) stands(t *heldToken, now time.Time) bool {
	return !r.force && r.rejected != "" && t.token.Secret == r.rejected && (r.claims == "" || r.claims == t.claims) &&
		t.replacedAt != 0 && now.Sub(time.Unix(0, t.replacedAt)) < replacementTime && now.Before(t.token.ExpiresOn)
}

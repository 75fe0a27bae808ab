package simulation

import (
	"errors"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The invariants. Each says in its violation what had to hold.
const (
	oneRefresh    = "one refresh per expiry where nothing is lost"
	spentOnce     = "no refresh token is spent twice"
	notLost       = "no refresh token is lost"
	staysSignedIn = "nobody is signed out who didn't sign out"
	staysOut      = "a user who signed out doesn't come back"
	noDeadToken   = "no dead token is served"
	rightToken    = "a token is the one that was asked for"
	notStarved    = "no caller is left without a token while provider and store work"
	flushed       = "Flush saves everything while the store works"
	quietEnd      = "nothing goes on after the end"
)

// violation is an invariant that did not hold.
type violation struct {
	invariant string
	line
}

func (r *run) violated(invariant string, words ...string) {
	r.history.note("!!!", append([]string{invariant + ":"}, words...)...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, violation{invariant, line{r.since(), "!!!", words}})
}

// checkReuse judges a refresh token that was sent again. provider.mu is held.
//
// Some troubles explain that. The new token that the provider issued the first time may be
// lost: with the answer, with the process, or because it could not be saved. A process that
// froze between its lease and its request doesn't know that the lease has ended, and neither
// does a process whose lease had almost ended. A process may never have learnt that its
// tokens were saved. A process that lives and has the new token has no excuse.
func (r *run) checkReuse(p *process, t *refreshToken, sent time.Duration, late bool) {
	first := t.spent
	now := r.since()
	until := now
	if first.stored > 0 {
		until = first.stored
	}
	same := first.process == p && first.delivered
	// The time that a process froze counts against the time-out of its refresh.
	timedOut := !first.delivered && first.process.suffered(freeze, span{first.sent - core.DefaultRefreshTimeout, now})
	untold := t.grant.process == p && p.untold(span{t.grant.sent, now})
	if t.family.misled || !same && (first.process.excused(first.sent, until) || p.excused(sent, now) || late || first.late || timedOut || untold) {
		r.history.note(p.name, "spends", t.secret, "again, which had to be expected")
		return
	}
	r.violated(spentOnce, p.name, "sent", t.secret, "again, which", first.process.name, "spent at", stamp(first.at))
}

// asked is one call of a caller.
type asked struct {
	caller *caller
	demand demand
	span
	answered bool // true if a refresh obtained the token for it
}

func (r *run) asks(a *asked) {
	if a.demand == (demand{}) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, a)
}

func (r *run) ends(a *asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.to = r.since()
}

// checkNeeded judges a refresh: the last token of its kind must have been in its refresh window,
// or a caller must have wanted another token. The caller holds provider.mu.
func (r *run) checkNeeded(g *grant) {
	c := &r.conditions
	if !c.calm() {
		return
	}
	var last *accessToken
	for _, t := range r.provider.access {
		if t != g.access && t.user == g.access.user && t.scope == g.access.scope && (last == nil || t.issued > last.issued) {
			last = t
		}
	}
	slack := 2*c.slowestProvider + time.Second // times are whole seconds, and count from the request
	if last == nil || r.ledger.overlaps(last.user, span{last.issued, g.at}) || g.at >= last.expires-min(c.window+c.jitter, c.lifetime/2)-slack {
		return
	}
	if !r.wanted(g, last, slack) {
		r.violated(oneRefresh, g.process.name, "refreshed", last.secret, "of", stamp(last.issued), "unasked")
	}
}

// wanted reports whether a call wanted another token than the last one, and no other refresh
// has answered it.
func (r *run) wanted(g *grant, last *accessToken, slack time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.asked {
		if !a.answered && a.caller.user == g.access.user && a.caller.scope == g.access.scope && a.wants(last, g.at, slack) {
			a.answered = true
			return true
		}
	}
	return false
}

// wants reports whether the call wants another token than t. provider.mu is held.
func (a *asked) wants(t *accessToken, now, slack time.Duration) bool {
	d := a.demand
	if now < a.from || now > a.to+2*longest {
		return false
	}
	if r := a.caller.process.run.provider.access[d.rejected.Reveal()]; r != nil && t.issued-r.issued < 2*time.Second {
		return true // of two tokens of the same second, either may be the stored one
	}
	return d.force || d.minValidity > 0 && t.expires-now < d.minValidity+slack
}

// checkStored judges a change of a record. records.mu is held.
func (r *run) checkStored(p *process, key string, before, after *tokencache.Cache) {
	r.provider.mu.Lock()
	defer r.provider.mu.Unlock()
	now := r.since()
	for _, user := range r.usersOf(key) {
		old, is := r.provider.tokenIn(before, user), r.provider.tokenIn(after, user)
		if is != nil && is.grant.stored == 0 {
			is.grant.stored = now
		}
		switch {
		case old == nil && is == nil:
		case is == nil:
			// A process that signed the user out while it was saving removes what the save stored.
			if !r.ledger.underWay(user, false, now) && !(old.grant.process == p && r.ledger.signedOutSince(p, user, old.grant.sent)) {
				r.violated(staysSignedIn, p.name, "removed", old.secret, "from", key)
			}
		case old == nil:
			if !r.ledger.underWay(user, true, now) {
				r.violated(staysOut, p.name, "stored", is.secret, "in", key)
			}
			// A sign-in was stored, and other processes refreshed its tokens and signed the user
			// out. But the process that signed in got no answer to its save, and saves again.
			is.family.misled = is.family.misled || is.spent != nil && is.grant.process.untold(span{is.grant.sent, now})
		case old.good() && is.spent != nil && r.misledByStamps(old, is, now):
			is.family.misled = true
			r.history.note(p.name, "stored", is.secret, "over", old.secret, "which stamps explain")
		case old.good() && is.spent != nil:
			r.violated(notLost, p.name, "stored", is.secret, "which is spent, over", old.secret)
		}
	}
}

// misledByStamps reports whether a spent refresh token, or a token of an older session, came back
// because tokencache.Merge can compare only the stamps of two tokens. If an answer was lost
// and other processes refreshed meanwhile, stamps of clocks that differ mislead Merge, and so
// does a sign-in that took longer than a refresh.
func (r *run) misledByStamps(over, t *refreshToken, now time.Duration) bool {
	return (r.conditions.clockSteps || over.family != t.family) && t.grant.process.untold(span{t.grant.sent, now})
}

// tokenIn returns a user's refresh token in a cache. mu is held.
func (v *provider) tokenIn(c *tokencache.Cache, user string) *refreshToken {
	if c == nil {
		return nil
	}
	t, ok := c.RefreshToken(tokencache.Query{HomeAccountID: home(user), ClientID: clientID})
	if !ok {
		return nil
	}
	return v.refresh[t.Secret.Reveal()]
}

// checkServed judges a token that a caller got.
func (r *run) checkServed(a *asked, got tokencache.AccessToken) {
	r.provider.mu.Lock()
	t := r.provider.access[got.Secret.Reveal()]
	r.provider.mu.Unlock()
	c, p := a.caller, a.caller.process
	if t == nil || t.user != c.user || t.scope != c.scope {
		r.violated(rightToken, c.name, "got", got.Secret.Reveal())
		return
	}
	// A token that has just replaced a refused token is returned for a minute, even if it is
	// refused too (see core.Rejected). The minute begins when its refresh has ended.
	if got.Secret == a.demand.rejected && a.to-t.issued > time.Minute+core.DefaultRefreshTimeout+wire && !r.conditions.clockSteps && !p.suffered(freeze, span{t.issued, a.to}) {
		r.violated(rightToken, c.name, "got", t.secret, "which it said was rejected")
	}
	// A process trusts a token for longer if its clock is behind the clock of the process that
	// stamped the token.
	skew := max(0, t.offset-time.Duration(p.offset.Load()))
	if a.to >= t.expires+skew {
		r.violated(noDeadToken, c.name, "got", t.secret, "which expired at", stamp(t.expires))
	}
	if out := r.ledger.signedOutBy(p, c.user, a.from); out != nil {
		r.violated(staysOut, c.name, "got", t.secret, "after", p.name, "had signed", c.user, "out at", stamp(out.to))
	}
}

// longest is how long a caller may be without a token once everything works again: until a lease
// has ended, a refresh and a save have timed out, and the failures are forgotten.
const longest = core.DefaultLeaseTTL + core.DefaultRefreshTimeout + 30*time.Second + time.Minute + 10*time.Second

// checkWait judges how long a caller waited, and that it got no token.
func (r *run) checkWait(a *asked, err error) {
	since, quiet := r.conditions.quietSince(a.from)
	_, still := r.conditions.quietSince(a.to)
	bound := r.conditions.patiently()
	if r.conditions.calm() {
		bound = r.conditions.promptly()
	} else if since += bound; a.from < since {
		return
	}
	if !quiet || !still || a.caller.scope == forbidden {
		return
	}
	if a.to-a.from > bound {
		r.violated(notStarved, a.caller.name, "waited since", stamp(a.from))
	}
	if err == nil || a.demand.leaves || errors.Is(err, core.ErrRefreshedNotSaved) {
		return
	}
	key := r.key(a.caller.user)
	cache := r.records.cache(key)
	r.provider.mu.Lock()
	token := r.provider.tokenIn(cache, a.caller.user)
	good := token != nil && token.good()
	r.provider.mu.Unlock()
	// Callers that wait together get the result of the first, except after a sign-in in this process.
	last := r.ledger.last(a.caller.user)
	if good && last != nil && last.in && (last.to+bound < a.from || last.process == a.caller.process && r.conditions.calm()) && last.to < a.from {
		r.violated(notStarved, a.caller.name, "got", err.Error(), "although", token.secret, "is good")
	}
}

// checkFlush judges the result of Flush.
func (r *run) checkFlush(p *process, err error) {
	now := r.since()
	since, quiet := r.conditions.quietSince(now)
	if err != nil && quiet && (now > since+longest || r.conditions.calm()) && !p.suffered(fault, span{now - patience, now}) {
		r.violated(flushed, p.name, "said", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// checkEnd judges the stored records after the last Flush.
func (r *run) checkEnd() {
	for _, user := range r.users {
		cache := r.records.cache(r.key(user))
		last := r.ledger.last(user)
		r.provider.mu.Lock()
		t := r.provider.tokenIn(cache, user)
		switch {
		case t == nil && last != nil && last.in:
			r.violated(staysSignedIn, user, "is not stored")
		case t != nil && last != nil && !last.in:
			r.violated(staysOut, user, "is stored:", t.secret)
		case t != nil && !t.good() && !t.family.revoked && !t.family.misled:
			by := t.spent
			if by.delivered && !by.process.dead() || !by.process.excused(by.sent, r.since()) {
				r.violated(notLost, t.secret, "is stored, which", by.process.name, "spent at", stamp(by.at))
			}
		}
		r.provider.mu.Unlock()
	}
}

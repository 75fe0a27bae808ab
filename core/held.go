package core

import (
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// heldToken is an access token in a slot. It is immutable. A service has one for
// each of its users, so it is kept small: times are Unix nanoseconds.
type heldToken struct {
	token      tokencache.AccessToken
	claims     string // the claims challenge that the token answers
	obtained   uint64 // tokenTable.obtained when the token was seen to be new; zero if it was found in the record
	issued     int64  // when the provider issued the token, to this process or another
	refreshAt  int64  // the time from which the token is refreshed in the background
	staleAt    int64  // when the record has to be read again; zero means never
	replacedAt int64  // when a refresh obtained the token, or the token replaced a refused one; zero if neither happened
	until      int64  // until this time, the token is returned without any other check
	unsaved    bool
}

// accept returns what the slot keeps of a stored token, or nil if the token isn't good
// enough. A token that this attempt just obtained is always good enough, and so is a token
// that another process obtained since the attempt's first round.
func (a *attempt) accept(stored tokencache.AccessToken, round int) *heldToken {
	now := a.table.store.now()
	if a.ran && stored.Secret == a.given {
		return a.hold(stored, now, true)
	}
	at, ok := stored.At(now)
	if !ok || a.refuses(at.Secret) || !now.Before(at.ExpiresOn) {
		return nil
	}
	t := a.hold(at, now, a.ran || round > 0 && !slices.Contains(a.start, at.Secret))
	if t.obtained == 0 && !a.met(t, a.begun, now) {
		return nil
	}
	return t
}

// refuses reports whether the requirements want exactly this token replaced.
func (a *attempt) refuses(secret tokencache.Secret) bool {
	if secret == a.rejected {
		return true
	}
	if a.claims != "" && a.known != nil && a.known.claims != a.claims && secret == a.known.token.Secret {
		return true // obtained in this process, for another challenge or for none
	}
	return a.wantsNew() && slices.Contains(a.start, secret)
}

// wantsNew reports whether no token that was in the record at the start is good enough.
func (a *attempt) wantsNew() bool { return (a.force || a.claims != "") && a.rejected == "" }

func (a *attempt) hold(at tokencache.AccessToken, now time.Time, obtained bool) *heldToken {
	table := a.table
	t := &heldToken{token: at, claims: a.claims}
	if table.maxStale > 0 {
		t.staleAt = now.Add(table.maxStale - a.age).UnixNano()
	}
	if !obtained && a.known != nil && a.known.token.Secret == at.Secret {
		t.claims, t.obtained, t.issued, t.refreshAt, t.replacedAt = a.known.claims, a.known.obtained, a.known.issued, a.known.refreshAt, a.known.replacedAt
		return t
	}
	if obtained {
		t.obtained = table.obtained.Add(1)
	}
	// A provider may return an old token from its own cache. The time at which this process
	// got the token counts; otherwise the token would be in its refresh window at once.
	issued := at.CachedAt
	if a.ran || issued.IsZero() || issued.After(now) {
		issued = now
	}
	t.issued = issued.UnixNano()
	if a.ran || a.rejected != "" || a.claims != "" {
		// The time of issue counts here: a token that was found in the record may be as old
		// as the refused one, and be refused for the same reason.
		t.replacedAt = t.issued
	}
	window := table.window
	if table.jitter > 0 {
		window += jitter.Below(table.jitter)
	}
	refreshAt := at.ExpiresOn.Add(-min(window, at.ExpiresOn.Sub(issued)/2))
	if at.RefreshOn.After(issued) && at.RefreshOn.Before(refreshAt) {
		refreshAt = at.RefreshOn
	}
	t.refreshAt = refreshAt.UnixNano()
	return t
}

// servedUntil is the time until which the token is returned without another check.
func (t *heldToken) servedUntil(retryAt time.Time) int64 {
	until := t.refreshAt
	if t.staleAt != 0 {
		until = min(until, t.staleAt)
	}
	if t.unsaved {
		until = min(until, retryAt.UnixNano())
	}
	return until
}

// publish puts t into the slot, unless the application changed the record meanwhile.
func (a *attempt) publish(t *heldToken, unsaved bool) {
	if s := a.fillSlot(t, unsaved); s != nil {
		a.table.sweep(s)
	}
}

func (a *attempt) fillSlot(t *heldToken, unsaved bool) *slot {
	retryAt := a.table.store.unsaved.retryAt(a.record.key)
	shard, r := a.record.shard, a.record
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if f := r.failures; f != nil {
		f.store = failure{}
		if a.ran {
			delete(f.providers, a.provider())
		}
	}
	if r.generation != a.generation {
		return nil
	}
	t.unsaved = unsaved
	t.until = t.servedUntil(retryAt)
	if t.replacedAt == 0 || a.rejected != "" || a.claims != "" { // a plain refresh means nothing to other queries
		r.noteReplacement(t, a.table.store.now())
	}
	s := a.table.slot(r, &a.source.id, t.token.ExpiresOn)
	s.failures = nil
	s.token.Store(t)
	if a.force || a.rejected != "" || a.claims != "" {
		a.emptySlotsOfRefused(t)
	}
	return s
}

// emptySlotsOfRefused removes the token that t replaces from the slots of the record's
// other queries, since it has left the record, too. The caller holds the shard's mu.
func (a *attempt) emptySlotsOfRefused(t *heldToken) {
	for _, s := range a.record.slots.all() {
		if held := s.token.Load(); held != nil && held.token.Secret != t.token.Secret && a.refuses(held.token.Secret) {
			s.token.Store(nil)
		}
	}
}

func (a *attempt) emptySlot() {
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if s := a.record.slots.get(&a.source.id); s != nil {
		s.token.Store(nil)
	}
}

package core

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// attempt obtains a token for all callers in the process who ask for the same. Attempts
// on one record run one at a time, since they share refresh tokens: the tokens of the
// first often serve the next.
type attempt struct {
	attemptID
	begun  uint64 // tokenTable.obtained when the first call for it began
	table  *tokenTable
	record *tableRecord
	source *TokenSource

	caller  context.Context // of the first call, for its values
	passage passage         // through the record's gate

	done chan struct{} // closed when got and err are set
	got  *heldToken    // with an err too, if it could not be saved
	err  error

	// Guarded by the shard's mu.
	waiters   int
	abandoned bool               // no caller waits any more
	cancel    context.CancelFunc // nil until the attempt runs

	placed bool // guarded by the mu of places

	// The fields below belong to the attempt itself, while it runs.

	known      *heldToken        // the token in the slot at the start; it may be nil
	generation int               // of the record at the start
	first      tokencache.Secret // the access token that fitted at the start
	age        time.Duration     // of the record as it was found; zero if this attempt loaded it
	user       string            // to whom the failure of a refused refresh token belongs; "" if the user isn't known
	state      uint64            // of the refresh token that would be spent
	given      tokencache.Secret // the access token that the refresh function brought
	ran        bool              // the refresh function succeeded
	over       bool              // and has no further token
}

// attemptID tells attempts on one record apart.
type attemptID struct {
	query queryID
	requirements
}

func (a *attempt) identity() *attemptID { return &a.attemptID }

// requirements are what a call demands of its token.
type requirements struct {
	minValidity time.Duration
	claims      string
	rejected    tokencache.Secret
	force       bool // a new token, even if the present one is valid
	background  bool // no caller waits: the token has to be past its refresh window
}

func (r *requirements) apply(opts []TokenOption) {
	for _, o := range opts {
		r.minValidity = max(r.minValidity, o.minValidity)
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

// await takes part in the attempt that obtains the token. When the last waiter gives up,
// an attempt that hasn't reached the provider yet is cancelled.
//
// Thousands of callers may wait here at once, so they keep little on their stacks.
func (t *tokenTable) await(ctx context.Context, ts *TokenSource, r *requirements, begun uint64) (*heldToken, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := t.join(ctx, ts, r, begun)
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		a.giveUp()
		return nil, ctx.Err()
	}
}

func (t *tokenTable) join(ctx context.Context, ts *TokenSource, r *requirements, begun uint64) *attempt {
	shard := t.shardOf(ts.key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	a := t.attempt(ctx, shard.record(ts.key), ts, r, begun)
	a.waiters++
	return a
}

func (a *attempt) giveUp() {
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if a.waiters--; a.waiters > 0 {
		return
	}
	if a.abandoned = true; a.cancel != nil {
		a.cancel()
	}
	a.record.attempts.remove(a) // the next caller needs an attempt that isn't cancelled
}

// attempt returns the attempt under way, or starts one. The shard's mu is held.
func (t *tokenTable) attempt(ctx context.Context, record *tableRecord, ts *TokenSource, r *requirements, begun uint64) *attempt {
	id := attemptID{ts.id, *r}
	if running := record.attempts.get(&id); running != nil {
		return running
	}
	a := &attempt{attemptID: id, begun: begun, table: t, record: record, source: ts,
		caller: ctx, done: make(chan struct{}), err: errNoReturn}
	record.attempts.add(a)
	a.passage = processGates.arrive(t.store.gate(record.key), a)
	t.store.work.begin()
	t.places.start(a)
	return a
}

// recordSaved starts the attempt at once: it will hardly ask the store for anything.
func (a *attempt) recordSaved() { a.table.places.startNow(a) }

// run is the attempt, once it may run.
func (a *attempt) run() {
	defer a.table.store.work.end()
	defer a.finish()
	ctx, cancel := a.context()
	defer cancel()
	a.got, a.err = a.pass(ctx)
}

// context returns the context of the attempt, which replaces the first caller's.
func (a *attempt) context() (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(a.caller)
	if a.background { // no caller could cancel it
		return context.WithTimeout(ctx, a.table.store.refreshTimeout+a.table.store.leaseTTL)
	}
	ctx, cancel := context.WithCancel(ctx)
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if a.cancel = cancel; a.abandoned {
		cancel()
	}
	return ctx, cancel
}

func (a *attempt) finish() {
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	a.record.attempts.remove(a)
	a.record.dropIfEmpty()
	close(a.done)
}

// pass obtains the token when no other attempt is at the record.
func (a *attempt) pass(ctx context.Context) (*heldToken, error) {
	if err := a.passage.enter(ctx); err != nil {
		return nil, err
	}
	defer a.passage.leave()
	if t, err := a.prepare(a.table.store.now()); t != nil || err != nil {
		return t, err
	}
	return a.obtain(ctx)
}

// prepare returns a token that meets the requirements already, if another attempt
// obtained one meanwhile; or the failure because of which it is useless to ask the store
// again so soon.
func (a *attempt) prepare(now time.Time) (*heldToken, error) {
	shard, r := a.record.shard, a.record
	shard.mu.Lock()
	defer shard.mu.Unlock()
	a.generation = r.generation
	if s := r.slots.get(&a.source.id); s != nil {
		a.known = s.token.Load()
	}
	if t := a.known; t != nil {
		if a.allow(t, now) && a.met(t, a.begun, now) && (t.obtained > a.begun || !a.force && !isDue(t.staleAt, now)) {
			return t, nil
		}
		if a.stands(t, now) {
			return t, nil
		}
	}
	if f := r.failures; f != nil && f.store.active(now) && !a.force {
		return nil, f.store.err
	}
	return nil, nil
}

// maxRounds limits the refreshes of one attempt that find the record changed, but without
// a token for this query.
const maxRounds = 100

func (a *attempt) obtain(ctx context.Context) (*heldToken, error) {
	store, key, query := a.table.store, a.record.key, a.source.query
	found, err := a.read(ctx)
	if err != nil {
		return a.withoutStore(err)
	}
	var notSaved error
	for round := 0; ; round++ {
		if found.cache.Ambiguous(query) {
			a.emptySlot()
			return nil, store.fail("load", key, ErrAmbiguous)
		}
		at, ok := a.find(found.cache)
		if round == 0 {
			a.first = at.Secret
			if !ok {
				a.emptySlot() // the user has signed out meanwhile
			}
		}
		if ok {
			if t := a.accept(at, round); t != nil {
				a.publish(t, found.unsaved != nil)
				return t, notSaved
			}
		}
		a.spends(found.cache)
		if a.over {
			return nil, a.remember(FailureOfRequest, a.disappointment(found.cache))
		}
		if round == maxRounds {
			return nil, store.fail("refresh", key, ErrConflict)
		}
		if err := a.remembered(); err != nil {
			return nil, err
		}
		next, ofProvider, err := a.refreshRecord(ctx, found, round)
		if next.cache == nil {
			return nil, a.failed(err, ofProvider)
		}
		found, notSaved, a.age = next, err, 0
	}
}

// read returns the record: as another attempt of this process found it since this one
// began, or else as it is stored.
func (a *attempt) read(ctx context.Context) (contents, error) {
	if rec, at, ok := a.passage.handedOver(); ok {
		a.age = time.Since(at)
		return a.table.store.open(ctx, a.record.key, rec)
	}
	return a.table.store.read(ctx, a.record.key)
}

// withoutStore returns a token that isn't saved yet, while the store can't be read.
func (a *attempt) withoutStore(cause error) (*heldToken, error) {
	unread := a.table.store.unread(a.record.key)
	if unread.unsaved != nil {
		if at, ok := a.find(unread.cache); ok {
			if t := a.accept(at, 0); t != nil {
				a.publish(t, true)
				return t, nil
			}
		}
	}
	return nil, a.ofStore(cause)
}

// refreshRecord refreshes the record. If the record has no user that fits the query,
// there is no refresh token that a lease would protect, so the refresh function is called
// without one. If the function can obtain a token all the same, it asks for the lease
// first (Refresh.LeaseHeld), and gets it.
func (a *attempt) refreshRecord(ctx context.Context, found contents, round int) (record contents, ofProvider bool, err error) {
	store, key := a.table.store, a.record.key
	if round == 0 && !a.source.query.App && isStranger(found.cache, a.source.query) {
		record, err = store.refreshWithoutLease(ctx, key, found, a.refresh)
		if record.cache != nil || !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrNotNeeded) {
			return record, true, err
		}
		a.ran, a.over = false, false
	}
	return store.refresh(ctx, key, found.seen(), a.refresh, a.tokensOf)
}

// isStranger reports whether the record has nothing of the query's user.
func isStranger(c *tokencache.Cache, q tokencache.Query) bool {
	q.Scopes = nil
	_, account := c.Account(q)
	_, access := c.AccessToken(q)
	return !account && !access && !c.LongLived(q)
}

// spends notes which refresh token would be sent, and whose it is. Both are empty if
// there is none.
func (a *attempt) spends(c *tokencache.Cache) {
	rt, ok := c.RefreshToken(a.source.query)
	a.user, a.state = "", a.digest(rt.Secret)
	if ok {
		a.user = userID(rt.HomeAccountID, rt.Environment, rt.ClientID)
	}
}

// tokensOf is a digest of the tokens that the query would send or return. In a record
// that many users share, it doesn't change when another user's tokens do.
func (a *attempt) tokensOf(c *tokencache.Cache) uint64 {
	at, _ := c.AccessToken(a.source.query)
	rt, _ := c.RefreshToken(a.source.query)
	return a.digest(rt.Secret, at.Secret)
}

// digest makes it possible to compare secrets without keeping them.
func (a *attempt) digest(secrets ...tokencache.Secret) uint64 {
	var h maphash.Hash
	h.SetSeed(a.table.seed)
	for _, s := range secrets {
		maphash.WriteComparable(&h, s)
	}
	return h.Sum64()
}

// userID names a user of one provider with one client: two providers may know a
// user by the same ID.
func userID(homeAccountID, environment, clientID string) string {
	return strings.ToLower(homeAccountID + "\x00" + environment + "\x00" + clientID)
}

// provider names the provider that the query's tokens come from, as the query
// does: "" is the record's only one.
func (a *attempt) provider() string { return a.source.id.provider() }

func (id *queryID) provider() string { return strings.ToLower(id.environment) }

// fitting yields the access tokens that fit a query, the best first.
func fitting(c *tokencache.Cache, q tokencache.Query) iter.Seq[tokencache.AccessToken] {
	return func(yield func(tokencache.AccessToken) bool) {
		for rest := c; ; {
			at, ok := rest.AccessToken(q)
			if !ok || !yield(at) {
				return
			}
			if rest == c {
				rest = c.Clone()
			}
			rest.DropSecret(at.Secret)
		}
	}
}

// find returns the token that fits the query: the one that the refresh obtained, or else
// the best. A token that the requirements want replaced is skipped as long as there is
// another.
func (a *attempt) find(c *tokencache.Cache) (at tokencache.AccessToken, ok bool) {
	best := tokencache.AccessToken{}
	for fits := range fitting(c, a.source.query) {
		switch {
		case fits.Secret == a.given:
			return fits, true
		case !ok || a.refuses(best.Secret) && !a.refuses(fits.Secret):
			best, ok = fits, true
		}
		if a.given == "" && !a.refuses(best.Secret) {
			break // no other token is better
		}
	}
	return best, ok
}

// refresh is the refresh function of the attempt's rounds.
func (a *attempt) refresh(ctx context.Context, c *tokencache.Cache) error {
	query := a.source.query
	if at, ok := a.find(c); ok && a.accept(at, 1) != nil {
		return ErrNotNeeded
	}
	if c.Ambiguous(query) {
		return a.table.store.fail("refresh", a.record.key, ErrAmbiguous)
	}
	before := slices.Collect(fitting(c, query))
	err := a.source.refresh(ctx, c, Refresh{
		Query:  query,
		Force:  a.force || a.rejected != "" || a.claims != "",
		Claims: a.claims,
		lease:  leaseClockOf(ctx),
	})
	a.ran = err == nil
	a.over = a.ran || errors.Is(err, ErrNotNeeded)
	if a.ran {
		a.given = given(before, fitting(c, query))
		a.dropRefused(c)
	}
	return err
}

// given returns the best of the tokens that a refresh obtained; "" if it obtained none
// that fits. It may be one that was there before: a provider may answer from a cache of
// its own, and then the token has other times.
func given(before []tokencache.AccessToken, after iter.Seq[tokencache.AccessToken]) tokencache.Secret {
	for at := range after {
		if !slices.ContainsFunc(before, func(old tokencache.AccessToken) bool { return isSame(old, at) }) {
			return at.Secret
		}
	}
	return ""
}

// dropRefused removes the refused tokens from c, however long they live and whatever
// scopes they have. It does so after the refresh, so that the new token takes the place
// of the refused one.
func (a *attempt) dropRefused(c *tokencache.Cache) {
	for _, at := range slices.Collect(fitting(c, a.source.query)) {
		if a.refuses(at.Secret) && at.Secret != a.given {
			c.DropSecret(at.Secret)
		}
	}
	if a.rejected != "" && a.rejected != a.given {
		c.DropSecret(a.rejected) // its scopes may be others
	}
}

// accept returns the token to keep in the slot for a stored one, or nil if that isn't
// good enough. A token that this attempt just obtained is always good enough, and so is
// one that another process obtained since the attempt's first round.
func (a *attempt) accept(stored tokencache.AccessToken, round int) *heldToken {
	now := a.table.store.now()
	if a.ran && stored.Secret == a.given {
		return a.hold(stored, now, true)
	}
	at, ok := stored.At(now)
	if !ok || a.refuses(at.Secret) || !now.Before(at.ExpiresOn) {
		return nil
	}
	t := a.hold(at, now, a.ran || round > 0 && at.Secret != a.first)
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
	return (a.force || a.claims != "") && a.rejected == "" && secret == a.first
}

// isSame reports whether a refresh function left a token unchanged.
func isSame(a, b tokencache.AccessToken) bool {
	return a.Secret == b.Secret && a.CachedAt.Equal(b.CachedAt) && a.ExpiresOn.Equal(b.ExpiresOn)
}

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
	// A provider may return a token of its own cache again. The time at which we got it
	// counts; otherwise the token would be in its window at once.
	issued := at.CachedAt
	if a.ran || issued.IsZero() || issued.After(now) {
		issued = now
	}
	t.issued = issued.UnixNano()
	if a.ran || a.rejected != "" || a.claims != "" {
		// The time of issue counts here: a token that was found, not obtained, may be as
		// old as the refused one, and be refused for the same reason.
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
	if t.replacedAt == 0 || a.rejected != "" || a.claims != "" { // other queries needn't know of a plain refresh
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

// disappointment is the error of a refresh that succeeded and brought no token for the
// query.
func (a *attempt) disappointment(c *tokencache.Cache) error {
	store, key, query := a.table.store, a.record.key, a.source.query
	if _, signedIn := c.Account(query); !signedIn && !query.App {
		return store.fail("refresh", key, ErrReauthRequired) // the user has signed out meanwhile
	}
	return store.fail("refresh", key, errors.New("the refresh left no access token with the scopes of the query: perhaps the user has not consented to them"))
}

// failed notes that the record could not be refreshed, and returns the reason.
func (a *attempt) failed(err error, ofProvider bool) error {
	switch {
	case ofProvider:
		return a.remember(scopeOf(err), err)
	case errors.Is(err, context.DeadlineExceeded):
		return err // the attempt's time is over: it waited for another process
	}
	return a.ofStore(err)
}

// ofStore notes a failure of the store. It is no failure if the callers went away.
func (a *attempt) ofStore(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return a.remember(FailureOfStore, err)
}

// remember notes a failure for those whom it concerns, and for nobody else.
func (a *attempt) remember(scope FailureScope, err error) error {
	if s := a.noteFailure(scope, err); s != nil {
		a.table.sweep(s)
	}
	return err
}

func (a *attempt) noteFailure(scope FailureScope, err error) *slot {
	shard, r := a.record.shard, a.record
	shard.mu.Lock()
	defer shard.mu.Unlock()
	now := a.table.store.now()
	s := r.slots.get(&a.source.id)
	if s == nil {
		s = a.table.slot(r, &a.source.id, now)
	}
	if r.failures == nil {
		r.failures = new(recordFailures)
	}
	var until time.Time
	switch {
	case scope == FailureOfStore:
		r.failures.store = r.failures.store.again(err, a.state, now)
		until = r.failures.store.until
	case scope == FailureOfProvider:
		until = r.failures.providers.add(a.provider(), err, a.state, now)
	case scope == FailureOfUser && a.user != "" && a.claims == "":
		until = r.failures.users.add(a.user, err, a.state, now)
	default: // a refused challenge says nothing about requests without it
		if s.failures == nil {
			s.failures = new(slotFailures)
		}
		until = s.failures.add(a.claims, err, a.state, now)
	}
	if s.token.Load() == nil {
		s.leaves = until // the slot keeps the record, and so the memory, alive
	}
	return s
}

// remembered returns the error of a refresh that failed a moment ago, if the refresh
// token is still the same, or the provider has not recovered since.
func (a *attempt) remembered() error {
	if a.force {
		return nil
	}
	shard, r := a.record.shard, a.record
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	now := a.table.store.now()
	if f := r.failures; f != nil {
		if provider := f.providers[a.provider()]; provider.active(now) {
			return provider.err
		}
		if user := f.users[a.user]; user.with(a.state, now) {
			return user.err
		}
	}
	if s := r.slots.get(&a.source.id); s != nil && s.failures != nil {
		if own := s.failures.of(a.claims); own.with(a.state, now) {
			return own.err
		}
	}
	return nil
}

package core

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// maxRounds limits how often one attempt refreshes because the record has changed and
// still has no token for the query.
const maxRounds = 100

func (a *attempt) obtain(ctx context.Context) (*heldToken, error) {
	store, key, query := a.table.store, a.record.key, a.source.query()
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
			a.start = []tokencache.Secret{at.Secret}
			if a.wantsNew() {
				for fits := range fitting(found.cache, query) {
					a.start = append(a.start, fits.Secret)
				}
			}
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
			return nil, a.remember(FailureOfRequest, a.noToken(found.cache))
		}
		if round == maxRounds {
			return nil, store.fail("refresh", key, ErrConflict)
		}
		if err := a.remembered(); err != nil {
			store.observed(ctx, EventBackoff, key, 0, err)
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
	if err := a.passage.ask(ctx); err != nil {
		return contents{}, err
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
	store := a.table.store
	if round == 0 && !a.source.id.app && isStranger(found.cache, a.source.query()) {
		record, err = store.refreshWithoutLease(ctx, &a.passage, found, a.refresh)
		if record.cache != nil || !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrNotNeeded) {
			return record, true, err
		}
		a.ran, a.over = false, false
	}
	return store.refresh(ctx, &a.passage, found.seen(), a.refresh, a.tokensOf)
}

// isStranger reports whether the record has nothing of the query's user.
func isStranger(c *tokencache.Cache, q tokencache.Query) bool {
	q.Scopes = nil
	_, account := c.Account(q)
	_, access := c.AccessToken(q)
	return !account && !access && !c.LongLived(q)
}

// spends notes which refresh token a refresh would send, and the token's user. If there is
// no token, the user is empty.
func (a *attempt) spends(c *tokencache.Cache) {
	rt, ok := c.RefreshToken(a.source.query())
	a.user, a.state = "", a.digest(rt.Secret)
	if ok {
		a.user = userID(rt.HomeAccountID, rt.Environment, rt.ClientID)
	}
}

// tokensOf is a digest of the tokens that the query would send or return. In a record
// that many users share, it doesn't change when another user's tokens do.
func (a *attempt) tokensOf(c *tokencache.Cache) uint64 {
	at, _ := c.AccessToken(a.source.query())
	rt, _ := c.RefreshToken(a.source.query())
	return a.digest(rt.Secret, at.Secret)
}

// digest returns a number by which secrets can be compared without being kept.
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

// provider names the provider of the query's tokens, as the query does: "" is the record's
// only provider.
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
	for fits := range fitting(c, a.source.query()) {
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
	query := a.source.query()
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

// given returns the best of the tokens that a refresh obtained, or "" if none fits. A
// provider may answer from a cache of its own. Then the token may be an old one with other
// times, and counts as obtained.
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
	for _, at := range slices.Collect(fitting(c, a.source.query())) {
		if a.refuses(at.Secret) && at.Secret != a.given {
			c.DropSecret(at.Secret)
		}
	}
	if a.rejected != "" && a.rejected != a.given {
		c.DropSecret(a.rejected) // its scopes may be others
	}
}

// isSame reports whether a refresh function left a token unchanged.
func isSame(a, b tokencache.AccessToken) bool {
	return a.Secret == b.Secret && a.CachedAt.Equal(b.CachedAt) && a.ExpiresOn.Equal(b.ExpiresOn)
}

// noToken is the error of a refresh that succeeded and brought no token for the
// query.
func (a *attempt) noToken(c *tokencache.Cache) error {
	store, key, query := a.table.store, a.record.key, a.source.query()
	if _, signedIn := c.Account(query); !signedIn && !query.App {
		return store.fail("refresh", key, ErrReauthRequired) // the user has signed out meanwhile
	}
	return store.fail("refresh", key, errors.New("the refresh left no access token with the scopes of the query: perhaps they lack consent, or the tokens were removed during the refresh"))
}

package core

import (
	"context"
	"errors"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Unstored asks for a token without a change of the record: a token that a refresh obtains
// is returned to this caller, and kept nowhere. Such calls don't wait for each other or for
// another refresh. Each asks the provider, unless there is a valid token.
//
// If the provider accepts a refresh token once only, the stored one is spent afterwards,
// and the user must sign in again.
func Unstored() TokenOption { return TokenOption{unstored: true} }

// findUnstored returns a token that meets the requirements, from the process or the
// record, or else from the provider, and stores nothing.
func (ts *TokenSource) findUnstored(ctx context.Context, r *requirements) (*heldToken, error) {
	s := ts.store
	if t := ts.held(); t != nil && !r.force && r.allow(t, s.now()) && t.token.ExpiresOn.Sub(s.now()) >= r.minValidity {
		return t, nil
	}
	record, err := s.read(ctx, ts.key)
	if err != nil {
		return nil, err
	}
	cache := record.cache.Clone()
	if t := ts.stored(cache); t != nil && !r.force && r.allow(t, s.now()) && t.token.ExpiresOn.Sub(s.now()) >= r.minValidity {
		return t, nil
	}
	if cache.Ambiguous(ts.query()) {
		return nil, s.fail("refresh", ts.key, ErrAmbiguous)
	}
	for t := ts.stored(cache); t != nil; t = ts.stored(cache) { // a token that is found after the refresh is then new
		cache.DropSecret(t.token.Secret)
	}
	ctx, cancel := context.WithTimeout(ctx, s.refreshTimeout)
	defer cancel()
	if err := ts.refresh(ctx, cache, Refresh{Query: ts.query(), Force: true, Claims: r.claims}); err != nil {
		return nil, err
	}
	t := ts.stored(cache)
	if t == nil {
		return nil, s.fail("refresh", ts.key, errors.New("the refresh function left no token for the query"))
	}
	t.claims = r.claims
	return t, nil
}

// stored is the token of a cache for the query, or nil.
func (ts *TokenSource) stored(c *tokencache.Cache) *heldToken {
	at, found := c.AccessToken(ts.query())
	if found {
		at, found = at.At(ts.store.now())
	}
	if !found {
		return nil
	}
	return &heldToken{token: at}
}

package core

import (
	"context"

	"github.com/graphtoken/graphtoken/core/internal/sleep"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Put stores the tokens of a sign-in, and returns the record with them. A code can be
// redeemed once, so its tokens must not be lost: from the call on, Put doesn't end with
// ctx. It tries a failing store three times; then the Store keeps the tokens and uses
// them, and later calls of [TokenSource.Token] for the record, or [Store.Flush], save them.
// In that case Put returns the record together with ErrRefreshedNotSaved.
//
// Errors of the response itself come from [tokencache.Cache.Put]. Nothing is kept then.
func (s *Store) Put(ctx context.Context, key string, r tokencache.TokenResponse) (*tokencache.Cache, error) {
	if err := ValidateKey(key); err != nil {
		return nil, s.fail("save", key, err)
	}
	if err := tokencache.New().Put(r); err != nil {
		return nil, err
	}
	defer s.work.end(s.work.begin())
	start := s.now()
	c, err := s.put(ctx, key, r)
	s.observe(ctx, EventSignIn, key, start, err)
	return c, err
}

func (s *Store) put(ctx context.Context, key string, r tokencache.TokenResponse) (*tokencache.Cache, error) {
	defer s.unsaved.begin(key)()
	defer s.tokens.forget(key)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	from, err := s.readPatiently(ctx, key)
	mine := from.cache.Clone()
	if err := mine.Put(r); err != nil {
		return nil, err
	}
	if err != nil {
		kept, err := s.keepUnsaved(ctx, key, from, mine, err)
		return kept.cache, err
	}
	saved, err := s.saveObtained(ctx, key, from, mine)
	return saved.cache, err
}

// readPatiently tries a failing store three times. If the record can't be read, it
// returns the error together with the tokens of this process that are unsaved.
func (s *Store) readPatiently(ctx context.Context, key string) (contents, error) {
	for pause := firstSavePause; ; pause *= 4 {
		var c contents
		err := bounded(ctx, func() (err error) {
			c, err = s.read(ctx, key)
			return err
		})
		if err == nil {
			return c, nil
		}
		if pause > lastSavePause || isPermanent(err) || sleep.For(ctx, pause) != nil {
			return s.unread(key), err
		}
	}
}

// unread stands for a record that can't be read: it has the tokens that are unsaved.
func (s *Store) unread(key string) contents {
	u := s.unsaved.of(key)
	if u == nil {
		nothing := tokencache.New()
		return contents{stored: nothing, cache: nothing}
	}
	return contents{stored: u.base, cache: u.cache, unsaved: u}
}

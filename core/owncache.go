package core

import (
	"context"
	"sync/atomic"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The methods below are for a client that has a token cache of its own and shares it
// through a Store, as MSAL Go does with its cache accessor.

// LoadChanged returns what Load returns, if the record's version is no longer seen. If the
// version is still seen, the cache is nil, and the record is neither decrypted nor parsed.
func (s *Store) LoadChanged(ctx context.Context, key string, seen Version) (*tokencache.Cache, Version, error) {
	rec, err := s.load(ctx, key)
	if err != nil {
		return nil, "", err
	}
	if seen != Absent && s.unsaved.of(key).version(rec.Version) == seen {
		return nil, seen, nil
	}
	c, err := s.open(ctx, key, rec)
	if err != nil {
		return nil, "", err
	}
	if c.version == Absent && c.cache.IsEmpty() {
		return nil, "", s.fail("load", key, ErrNotFound)
	}
	return c.cache, c.seen(), nil
}

// Merge saves mine, which was made of base, merged with what other processes stored
// meanwhile (see [tokencache.Merge]), and returns the record as it is then. If the merge
// changes nothing, nothing is saved. A nil base is an empty cache.
//
// A refresh token may be good for one use, so Merge doesn't end with ctx. It tries a
// failing store three times; then the Store keeps mine and uses it, and later calls of
// [TokenSource.Token] for the record, or [Store.Flush], save it. In that case Merge returns
// the record together with ErrRefreshedNotSaved.
func (s *Store) Merge(ctx context.Context, key string, base, mine *tokencache.Cache) (*tokencache.Cache, error) {
	if err := ValidateKey(key); err != nil {
		return nil, s.fail("save", key, err)
	}
	defer s.work.end(s.work.begin())
	defer s.unsaved.begin(key)()
	defer s.tokens.forget(key)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	from, err := s.readPatiently(ctx, key)
	if err != nil {
		if base == nil {
			base = tokencache.New()
		}
		kept, err := s.keepUnsaved(ctx, key, contents{stored: base, cache: base}, mine, err)
		return kept.cache, err
	}
	merged := tokencache.Merge(base, mine, from.cache)
	if same, err := sameDocument(merged, from.cache); same && err == nil {
		return from.cache, nil
	}
	saved, err := s.saveObtained(ctx, key, from, merged)
	return saved.cache, err
}

// writes counts; see Writes.
var writes atomic.Uint64

// Writes counts what this process has saved, deleted or failed to save, through any
// Store and under any key. A caller that finds the same number again knows, at the cost
// of one atomic load, that a record can only have changed by another process.
func Writes() uint64 { return writes.Load() }

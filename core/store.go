package core

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/internal/sleep"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Store is what applications use: a backend, and on top of it encryption, merging, one
// refresh at a time, and the tokens that could not be saved yet. It is safe for
// concurrent use. A process needs one Store per backend, because all token sources of a
// Store share what it knows of a key.
//
// Its errors are the backend's, unchanged. If the Store itself finds a fault (a broken
// record, a missing user), the error is an [*Error] whose FromBackend is false.
type Store struct {
	backend        TokenBackend
	cryptography   CryptographyManager
	namespace      string
	plaintextReads bool
	log            *slog.Logger
	observer       Observer
	now            func() time.Time
	refreshTimeout time.Duration
	leaseTTL       time.Duration

	work    work       // what Flush waits for
	place   any        // see Locator
	unsaved overlay    // tokens that could not be saved yet
	tokens  tokenTable // what is kept in the process for the token sources
}

// NewStore returns a store on b. It does no I/O.
func NewStore(b TokenBackend, opts ...StoreOption) *Store {
	s := &Store{
		backend:        b,
		log:            slog.New(slog.DiscardHandler),
		now:            time.Now,
		refreshTimeout: DefaultRefreshTimeout,
		leaseTTL:       DefaultLeaseTTL,
		place:          placeOf(b),
	}
	if s.place == nil {
		s.place = s
	}
	s.tokens.init(s)
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	return s
}

// Load returns the token cache that is stored under key, and its version, or ErrNotFound.
// The cache includes tokens that were obtained but could not be saved yet. The version is
// then one of the Store's own, which stands for stored and unsaved tokens together.
func (s *Store) Load(ctx context.Context, key string) (*tokencache.Cache, Version, error) {
	c, err := s.read(ctx, key)
	if err != nil {
		return nil, "", err
	}
	if c.version == Absent && c.cache.IsEmpty() {
		return nil, "", s.fail("load", key, ErrNotFound)
	}
	return c.cache, c.seen(), nil
}

// Save stores c under key if v is the current version, as Load returned it (see
// [TokenBackend]). Tokens that were obtained after that Load make another version,
// whether or not they could be saved; Save then returns ErrConflict. With AnyVersion, c
// replaces both the stored and the unsaved tokens.
func (s *Store) Save(ctx context.Context, key string, c *tokencache.Cache, v Version) (Version, error) {
	stored, u, ok := s.unsaved.storedVersion(key, v)
	if !ok {
		return "", s.fail("save", key, ErrConflict)
	}
	saved, err := s.write(ctx, key, c, stored)
	if err != nil {
		return "", err
	}
	s.unsaved.settle(key, u)
	s.changed(key, c)
	return saved, nil
}

// Update loads the token cache (an empty one if nothing is stored), calls edit to change
// it, and saves it. If another process saved meanwhile, Update starts again with what is
// stored now. So edit may run several times, and must not keep what it saw before. If
// edit changes nothing, nothing is saved. If edit returns an error, Update ends and
// returns that error.
func (s *Store) Update(ctx context.Context, key string, edit func(*tokencache.Cache) error) error {
	for attempt := 0; ; attempt++ {
		c, err := s.read(ctx, key)
		if err != nil {
			return err
		}
		edited := c.cache.Clone()
		if err := edit(edited); err != nil {
			return err
		}
		same, err := sameDocument(c.cache, edited)
		if err != nil {
			return s.fail("update", key, err)
		}
		if same {
			s.tokens.forget(key) // another process may have been quicker with the same change
			return nil
		}
		_, err = s.replaced(ctx, key, c, edited)
		if err == nil {
			s.changed(key, edited)
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if err := pauseAfterConflict(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// Check reports whether a token cache is stored under key, or is kept in this process
// until it can be saved.
func (s *Store) Check(ctx context.Context, key string) (bool, error) {
	ok, err := s.backend.Check(ctx, key)
	if u := s.unsaved.of(key); !ok && err == nil && u != nil {
		ok = !u.over(nil).IsEmpty()
	}
	return ok, err
}

// Delete removes the record, and its unsaved tokens. It is no error if nothing was
// stored.
func (s *Store) Delete(ctx context.Context, key string) error {
	for {
		u := s.unsaved.of(key)
		if err := s.remove(ctx, key); err != nil {
			return err
		}
		// The unsaved tokens may have been saved meanwhile, after the backend had
		// looked. Then they are deleted, too.
		if u == nil || s.unsaved.settle(key, u) {
			s.changed(key, tokencache.New())
			return nil
		}
	}
}

// changed notes what the application made of a record.
func (s *Store) changed(key string, c *tokencache.Cache) {
	s.unsaved.changed(key, c)
	s.tokens.forget(key)
}

// contents is a record as the store sees it.
type contents struct {
	stored  *tokencache.Cache // the backend's record; empty if there is none
	cache   *tokencache.Cache // stored with the unsaved tokens; stored itself if there are none. Never changed
	version Version           // of stored; Absent if the backend has no record
	unsaved *unsaved          // the tokens that cache has and stored hasn't; nil if there are none
}

// seen is the version of cache that callers of the store get.
func (c contents) seen() Version { return c.unsaved.version(c.version) }

// read loads a record. A missing record is no error.
func (s *Store) read(ctx context.Context, key string) (contents, error) {
	rec, err := s.load(ctx, key)
	if err != nil {
		return contents{}, err
	}
	return s.open(ctx, key, rec)
}

func (s *Store) load(ctx context.Context, key string) (Record, error) {
	start, asked := s.now(), time.Now()
	rec, err := loadOrAbsent(ctx, s.backend, key)
	s.observe(ctx, EventLoad, key, start, err)
	if err == nil {
		processGates.note(s.gate(key), rec, asked)
	}
	return rec, err
}

// gate names the gate of a record.
func (s *Store) gate(key string) gateID { return gateID{s.place, key} }

// open decrypts and parses a record, and lays over it what is unsaved.
func (s *Store) open(ctx context.Context, key string, rec Record) (contents, error) {
	stored, err := s.decode(ctx, key, rec)
	if err != nil {
		return contents{}, err
	}
	c := contents{stored: stored, cache: stored, version: rec.Version, unsaved: s.unsaved.of(key)}
	if c.unsaved == nil {
		return c, nil
	}
	c.cache = c.unsaved.over(stored)
	// A save whose answer was lost may have happened. Tokens that are stored no longer
	// count as unsaved: otherwise they would be laid over later changes of others.
	if same, err := sameDocument(c.cache, stored); same && err == nil && s.unsaved.settleStored(key, c.unsaved) {
		c.cache, c.unsaved = stored, nil
	}
	return c, nil
}

// write saves c under version v.
func (s *Store) write(ctx context.Context, key string, c *tokencache.Cache, v Version) (Version, error) {
	data, err := s.encode(ctx, key, c)
	if err != nil {
		return "", s.fail("save", key, err)
	}
	start, asked := s.now(), time.Now()
	v, err = s.backend.Save(ctx, key, Record{Data: data, Version: v})
	writes.Add(1)
	s.observe(ctx, EventSave, key, start, err)
	if err == nil {
		processGates.noteSaved(s.gate(key), Record{Data: data, Version: v}, asked)
	}
	return v, err
}

// remove has the backend delete a record.
func (s *Store) remove(ctx context.Context, key string) error {
	defer writes.Add(1)
	return s.backend.Delete(ctx, key)
}

// removeVersion is remove for a record that nobody has saved again since it had version v.
func (s *Store) removeVersion(ctx context.Context, key string, v Version) error {
	now, err := s.readPatiently(ctx, key)
	if err != nil || now.version != v {
		return err
	}
	return s.remove(ctx, key)
}

// removeUnanswered removes mine if its save happened, although there is no answer. If this
// fails, the save's error says so.
func (s *Store) removeUnanswered(ctx context.Context, key string, mine *tokencache.Cache) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	now, err := s.readPatiently(ctx, key)
	if err != nil || now.version == Absent {
		return
	}
	if same, err := sameDocument(now.stored, mine); same && err == nil {
		_ = s.remove(ctx, key)
	}
}

// replaced saves mine, which was made of from.cache, over from, and returns the new
// version. The unsaved tokens of from are part of mine, or were removed from it, and no
// longer count as unsaved.
func (s *Store) replaced(ctx context.Context, key string, from contents, mine *tokencache.Cache) (Version, error) {
	if from.version == Absent && mine.IsEmpty() { // there is nothing to create
		if from.unsaved != nil && !s.unsaved.settle(key, from.unsaved) {
			return "", s.fail("save", key, ErrConflict)
		}
		return Absent, nil
	}
	v, err := s.write(ctx, key, mine, from.version)
	if err != nil {
		if from.version == Absent && s.unsaved.takenBack(key, from.unsaved) {
			s.removeUnanswered(ctx, key, mine)
		}
		return "", err
	}
	if from.unsaved == nil || s.unsaved.settleStored(key, from.unsaved) || from.version != Absent {
		return v, nil
	}
	// During the save, another caller in this process signed out or deleted the record. The
	// backend had no record, and so no version that would have shown it. The sign-out
	// counts, and everything else that is new stays.
	rest := tokencache.Merge(from.cache, mine, nil)
	if rest.IsEmpty() {
		return Absent, s.removeVersion(ctx, key, v)
	}
	return s.write(ctx, key, rest, v)
}

// commit saves mine, which was made of from.cache. If other processes saved meanwhile, it
// merges what they stored and tries again. It returns the record as it is then.
func (s *Store) commit(ctx context.Context, key string, from contents, mine *tokencache.Cache) (contents, error) {
	for attempt := 0; ; attempt++ {
		v, err := s.replaced(ctx, key, from, mine)
		if err == nil {
			s.unsaved.changed(key, mine)
			return contents{stored: mine, cache: mine, version: v}, nil
		}
		if !errors.Is(err, ErrConflict) {
			return contents{}, err
		}
		if err := pauseAfterConflict(ctx, attempt, err); err != nil {
			return contents{}, err
		}
		now, err := s.read(ctx, key)
		if err != nil {
			return contents{}, err
		}
		mine, from = tokencache.Merge(from.cache, mine, now.cache), now
		s.observed(ctx, EventMerge, key, 0, nil)
	}
}

// maxConflicts bounds the tries against a backend that reports nothing but conflicts. If n
// processes write at the same time, one of them succeeds in each round. So a backend that
// works needs n tries at most.
const maxConflicts = 100

func pauseAfterConflict(ctx context.Context, attempt int, conflict error) error {
	if attempt >= maxConflicts {
		return conflict
	}
	return sleep.For(ctx, jitter.Around(time.Millisecond<<min(attempt, 6)))
}

func (s *Store) fail(op, key string, err error) error {
	return &Error{Op: op, Backend: storeItself, Key: key, Err: err}
}

package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Store is what applications hold: a backend, and above it encryption,
// merging, one refresh at a time, and the tokens that could not be saved yet.
// It is safe for concurrent use; a process needs one per backend, because
// what it knows of a key is shared by everything made from it.
//
// Its errors are those of the backend, unchanged, and for what it finds out by
// itself (a broken record, a missing user) an [*Error] with Backend "store".
type Store struct {
	backend        TokenBackend
	cryptography   CryptographyManager
	namespace      string
	plaintextReads bool
	log            *slog.Logger
	observer       Observer
	now            func() time.Time
	window, jitter time.Duration
	refreshTimeout time.Duration
	leaseTTL       time.Duration
	maxStale       time.Duration
	maxRecords     int

	obtained atomic.Uint64 // counts the tokens that came from the provider

	mu      sync.Mutex
	entries map[string]*entry // what the process knows of each key
	copies  copyHeap          // every cell of every entry, the first to leave on top
	running int               // refreshes and saves that Flush waits for
	idle    chan struct{}     // closed when running falls to zero
}

// NewStore returns a store on b. It does no I/O.
func NewStore(b TokenBackend, opts ...StoreOption) *Store {
	s := &Store{
		backend:        b,
		log:            slog.New(slog.DiscardHandler),
		now:            time.Now,
		window:         5 * time.Minute,
		jitter:         time.Minute,
		refreshTimeout: DefaultRefreshTimeout,
		leaseTTL:       DefaultLeaseTTL,
		maxRecords:     10_000,
		entries:        make(map[string]*entry),
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Load returns the token cache stored under key and its version, or
// ErrNotFound. Tokens that were obtained but could not be saved yet are part
// of it.
func (s *Store) Load(ctx context.Context, key string) (*tokencache.Cache, Version, error) {
	c, err := s.read(ctx, key)
	if err != nil {
		return nil, "", err
	}
	if c.version == Absent && isEmpty(c.cache) {
		return nil, "", s.fail("load", key, ErrNotFound)
	}
	return c.cache, c.version, nil
}

// Save stores c under key if v is the stored version (see [TokenBackend]),
// together with tokens that were obtained but could not be saved yet.
func (s *Store) Save(ctx context.Context, key string, c *tokencache.Cache, v Version) (Version, error) {
	unsaved := s.unsavedOf(key)
	if unsaved != nil {
		c = tokencache.Merge(unsaved.base, unsaved.cache, c)
	}
	v, err := s.write(ctx, key, c, v)
	if err != nil {
		return "", err
	}
	s.saved(key, unsaved)
	s.forgetCopies(key)
	return v, nil
}

// Update loads the token cache (an empty one where nothing is stored), has
// edit change it, and saves it. When somebody else saved meanwhile, it starts
// over with what they stored, so edit may run again and must not keep what it
// saw before. An edit that changes nothing saves nothing; its error ends the
// update and is returned as it is.
func (s *Store) Update(ctx context.Context, key string, edit func(*tokencache.Cache) error) error {
	for attempt := 0; ; attempt++ {
		c, err := s.read(ctx, key)
		if err != nil {
			return err
		}
		before, err := c.stored.Marshal()
		if err != nil {
			return s.fail("update", key, err)
		}
		if err := edit(c.cache); err != nil {
			return err
		}
		after, err := c.cache.Marshal()
		if err != nil {
			return s.fail("update", key, err)
		}
		if string(before) == string(after) {
			return nil
		}
		_, err = s.write(ctx, key, c.cache, c.version)
		if err == nil {
			s.saved(key, c.unsaved)
			s.forgetCopies(key)
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if err := s.pauseAfterConflict(ctx, attempt, err); err != nil {
			return err
		}
	}
}

// Check reports whether a token cache is stored under key, or waits in this
// process to be saved.
func (s *Store) Check(ctx context.Context, key string) (bool, error) {
	ok, err := s.backend.Check(ctx, key)
	if u := s.unsavedOf(key); !ok && err == nil && u != nil {
		ok = !isEmpty(tokencache.Merge(u.base, u.cache, nil))
	}
	return ok, err
}

// Delete removes the record, with what waits to be saved. That nothing was
// stored is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	unsaved := s.unsavedOf(key)
	if err := s.backend.Delete(ctx, key); err != nil {
		return err
	}
	s.saved(key, unsaved)
	s.forgetCopies(key)
	return nil
}

// contents is a record as the store sees it.
type contents struct {
	stored  *tokencache.Cache // as the backend has it; empty where it has none
	cache   *tokencache.Cache // with what is unsaved; stored itself where nothing is
	version Version           // of stored; Absent where the backend has none
	unsaved *unsaved          // what cache has and stored has not; nil for nothing
}

// read loads a record; that there is none is no error.
func (s *Store) read(ctx context.Context, key string) (contents, error) {
	rec, err := s.load(ctx, key)
	if err != nil {
		return contents{}, err
	}
	return s.open(ctx, key, rec)
}

func (s *Store) load(ctx context.Context, key string) (Record, error) {
	start := s.now()
	rec, err := loadOrAbsent(ctx, s.backend, key)
	s.observe(ctx, EventLoad, key, start, err)
	return rec, err
}

// open decrypts and parses a record, and lays over it what is unsaved.
func (s *Store) open(ctx context.Context, key string, rec Record) (contents, error) {
	stored, err := s.decode(ctx, key, rec)
	if err != nil {
		return contents{}, err
	}
	c := contents{stored: stored, cache: stored, version: rec.Version, unsaved: s.unsavedOf(key)}
	if c.unsaved != nil {
		c.cache = tokencache.Merge(c.unsaved.base, c.unsaved.cache, stored)
	}
	return c, nil
}

// write saves c under version v.
func (s *Store) write(ctx context.Context, key string, c *tokencache.Cache, v Version) (Version, error) {
	data, err := s.encode(ctx, key, c)
	if err != nil {
		return "", s.fail("save", key, err)
	}
	start := s.now()
	v, err = s.backend.Save(ctx, key, Record{Data: data, Version: v})
	s.observe(ctx, EventSave, key, start, err)
	return v, err
}

// writeMerged saves mine, which was made from base at version v; when others
// saved meanwhile, it merges what they stored and tries again.
func (s *Store) writeMerged(ctx context.Context, key string, base, mine *tokencache.Cache, v Version) (*tokencache.Cache, Version, error) {
	for attempt := 0; ; attempt++ {
		if v == Absent && isEmpty(mine) {
			return mine, v, nil // everybody signed out meanwhile: nothing to create
		}
		saved, err := s.write(ctx, key, mine, v)
		if err == nil {
			return mine, saved, nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, "", err
		}
		if err := s.pauseAfterConflict(ctx, attempt, err); err != nil {
			return nil, "", err
		}
		rec, err := s.load(ctx, key)
		if err != nil {
			return nil, "", err
		}
		theirs, err := s.decode(ctx, key, rec)
		if err != nil {
			return nil, "", err
		}
		mine, base, v = tokencache.Merge(base, mine, theirs), theirs, rec.Version
	}
}

// maxConflicts bounds the retries against a backend that only ever reports
// conflicts: of n writers one wins each round, so that honest stores get by
// with n of them.
const maxConflicts = 100

func (s *Store) pauseAfterConflict(ctx context.Context, attempt int, conflict error) error {
	if attempt >= maxConflicts {
		return conflict
	}
	return sleep(ctx, jitter.Around(time.Millisecond<<min(attempt, 6)))
}

func isEmpty(c *tokencache.Cache) bool {
	data, err := c.Marshal()
	return err == nil && string(data) == emptyCache
}

var emptyCache = func() string {
	data, _ := tokencache.New().Marshal()
	return string(data)
}()

// encode returns what is stored for c.
func (s *Store) encode(ctx context.Context, key string, c *tokencache.Cache) ([]byte, error) {
	data, err := c.Marshal()
	if err != nil || s.cryptography == nil {
		return data, err
	}
	return s.cryptography.Encrypt(ctx, data, s.associatedData(key))
}

// decode is the reverse of encode; an absent record is an empty cache.
func (s *Store) decode(ctx context.Context, key string, rec Record) (*tokencache.Cache, error) {
	if rec.Version == Absent {
		return tokencache.New(), nil
	}
	plain, err := s.decrypt(ctx, key, rec.Data)
	if err != nil {
		return nil, s.fail("load", key, err)
	}
	c, err := tokencache.Parse(plain)
	if err != nil {
		return nil, s.fail("load", key, err)
	}
	return c, nil
}

func (s *Store) decrypt(ctx context.Context, key string, data []byte) ([]byte, error) {
	if s.cryptography == nil || len(data) == 0 {
		return data, nil // empty is corrupt, under encryption too
	}
	plain, err := s.cryptography.Decrypt(ctx, data, s.associatedData(key))
	if err == nil || !errors.Is(err, ErrDecrypt) || !looksPlain(data) {
		return plain, err
	}
	if !s.plaintextReads {
		return nil, fmt.Errorf("%w: the record is plain; see WithPlaintextReads", ErrDecrypt)
	}
	return data, nil
}

// looksPlain reports whether data begins as a JSON object does.
func looksPlain(data []byte) bool {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return false
}

// associatedData is key, preceded by the namespace and a NUL where there is a
// namespace. A key has no NUL, so no two pairs give the same bytes.
func (s *Store) associatedData(key string) []byte {
	if s.namespace == "" {
		return []byte(key)
	}
	return []byte(s.namespace + "\x00" + key)
}

func (s *Store) fail(op, key string, err error) error {
	return &Error{Op: op, Backend: "store", Key: key, Err: err}
}

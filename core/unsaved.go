package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// unsaved is a token cache that could not be saved. It is laid over whatever
// is loaded of its key until a save succeeds; otherwise the next refresh would
// spend a refresh token that the provider has already replaced. It is
// immutable.
type unsaved struct {
	base  *tokencache.Cache // what was stored when the refresh began
	cache *tokencache.Cache // what should be stored
}

func (s *Store) unsavedOf(key string) *unsaved {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		return e.unsaved
	}
	return nil
}

// keepUnsaved replaces what is unsaved of key.
func (s *Store) keepUnsaved(key string, c contents, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entryOf(key)
	e.unsaved = &unsaved{base: c.stored.Clone(), cache: c.cache.Clone()}
	e.resave = e.resave.again(err, c.version, s.now())
}

// saveBehind tries again to save what is unsaved, when it is time to. Store.mu
// is held.
func (s *Store) saveBehind(ctx context.Context, e *entry, now time.Time) {
	if e.unsaved == nil || e.resave.active(now) {
		return
	}
	e.resave = e.resave.again(e.resave.err, e.resave.version, now) // nobody else meanwhile
	end := s.beginLocked()
	go func() {
		defer end()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		_ = s.saveUnsaved(ctx, e.key) // the observer hears of it, and Flush says so
	}()
}

// saved forgets u, which is stored now, unless something newer took its place.
func (s *Store) saved(key string, u *unsaved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil && u != nil && e.unsaved == u {
		e.unsaved, e.resave = nil, failure{}
		s.dropIfEmpty(e)
	}
}

// Flush waits for running refreshes and saves what is unsaved. It returns
// ErrRefreshedNotSaved, joined with the causes, when something remains. Call it
// before the process ends.
func (s *Store) Flush(ctx context.Context) error {
	errs := []error{s.waitIdle(ctx)}
	s.mu.Lock()
	var keys []string
	for key, e := range s.entries {
		if e.unsaved != nil {
			keys = append(keys, key)
		}
	}
	s.mu.Unlock()
	for _, key := range keys {
		errs = append(errs, s.saveUnsaved(ctx, key))
	}
	return errors.Join(errs...)
}

// saveUnsaved saves what is unsaved of key, or says that it still is.
func (s *Store) saveUnsaved(ctx context.Context, key string) error {
	if err := s.mergeUnsaved(ctx, key); err != nil {
		s.observe(ctx, EventUnsaved, key, s.now(), err)
		return s.fail("save", key, notSaved(err))
	}
	return nil
}

// mergeUnsaved merges what is unsaved of key into what is stored.
func (s *Store) mergeUnsaved(ctx context.Context, key string) error {
	e := s.enter(key)
	defer s.leave(e)
	if err := e.lock(ctx); err != nil {
		return err
	}
	defer e.unlock()
	c, err := s.read(ctx, key)
	if err != nil || c.unsaved == nil {
		return err
	}
	if _, _, err := s.writeMerged(ctx, key, c.stored, c.cache, c.version); err != nil {
		return err
	}
	s.saved(key, c.unsaved)
	return nil
}

// saveRefreshed saves what a refresh obtained. A provider that gives single-use
// refresh tokens gives them once, so a failing store is asked three times
// before the tokens stay in the process.
func (s *Store) saveRefreshed(ctx context.Context, key string, c contents) (*tokencache.Cache, Version, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	for pause := firstSavePause; ; pause *= 4 {
		cache, v, err := s.writeMerged(ctx, key, c.stored, c.cache, c.version)
		if err == nil {
			s.saved(key, c.unsaved)
			return cache, v, nil
		}
		if pause > lastSavePause || isPermanent(err) || sleep(ctx, pause) != nil {
			s.keepUnsaved(key, c, err)
			s.observe(ctx, EventUnsaved, key, s.now(), err)
			return c.cache, c.version, s.fail("refresh", key, notSaved(err))
		}
	}
}

const (
	saveTimeout                   = 30 * time.Second
	firstSavePause, lastSavePause = 50 * time.Millisecond, 200 * time.Millisecond
)

// isPermanent reports errors that asking again won't change.
func isPermanent(err error) bool {
	for _, permanent := range []error{ErrReadOnly, ErrTooLarge, ErrInvalidKey, ErrCorrupt, ErrDecrypt} {
		if errors.Is(err, permanent) {
			return true
		}
	}
	return false
}

func notSaved(cause error) error {
	return fmt.Errorf("%w: %w", ErrRefreshedNotSaved, cause)
}

// begin counts work that Flush waits for, until the returned function.
func (s *Store) begin() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beginLocked()
}

func (s *Store) beginLocked() (end func()) {
	s.running++
	if s.running == 1 {
		s.idle = make(chan struct{})
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running--; s.running == 0 {
			close(s.idle)
		}
	}
}

func (s *Store) waitIdle(ctx context.Context) error {
	s.mu.Lock()
	idle, running := s.idle, s.running
	s.mu.Unlock()
	if running == 0 {
		return ctx.Err()
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

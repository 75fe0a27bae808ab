package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/sleep"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// unsaved is what a record should contain, and doesn't yet because it could not be saved.
// It is laid over every record that is loaded under its key until a save succeeds.
// Otherwise the next refresh would send a refresh token that the provider has already
// replaced. It is immutable, except for stored.
type unsaved struct {
	serial uint64            // unique in this process
	base   *tokencache.Cache // what was stored when it was made
	cache  *tokencache.Cache // what should be stored

	// If this was made of a record that already had unsaved tokens, after is their serial,
	// and afterRecord is the record with them. Once they are saved, only what is new here
	// remains unsaved.
	after       uint64
	afterRecord *tokencache.Cache

	stored bool // it was saved, or a load found it; guarded by the mu of overlay
}

// over returns stored with what is unsaved; nil is an empty cache.
func (u *unsaved) over(stored *tokencache.Cache) *tokencache.Cache {
	return tokencache.Merge(u.base, u.cache, stored)
}

// unsavedVersion begins the version of a record with unsaved tokens. The serial follows
// and, after a blank, the version of what is stored. No backend's version begins with
// NUL.
const unsavedVersion = "\x00unsaved "

// version is the version of a record whose stored part has the given one.
func (u *unsaved) version(stored Version) Version {
	if u == nil {
		return stored
	}
	return Version(u.prefix() + string(stored))
}

func (u *unsaved) prefix() string {
	return unsavedVersion + strconv.FormatUint(u.serial, 36) + " "
}

// overlay holds what is unsaved, by key. The zero value is ready for use.
type overlay struct {
	mu      sync.Mutex
	serial  uint64
	unsaved map[string]*unsaved
	retry   map[string]failure   // when saving is tried again in the background
	saving  map[string]*obtained // tokens that are being obtained and saved
}

// obtained are tokens of one record that are being obtained and saved. A save may have
// happened although no answer comes, and this process may save again meanwhile: a
// sign-out, or a refresh of the same token. Then the last save counts.
type obtained struct {
	running int
	changed *tokencache.Cache // what this process saved since; nil for nothing
}

// begin notes that tokens of a record are being obtained, until end is called.
func (o *overlay) begin(key string) (end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.saving == nil {
		o.saving = make(map[string]*obtained)
	}
	running := o.saving[key]
	if running == nil {
		running = new(obtained)
		o.saving[key] = running
	}
	running.running++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if running.running--; running.running == 0 {
			delete(o.saving, key)
		}
	}
}

// changed notes what this process saved.
func (o *overlay) changed(key string, c *tokencache.Cache) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.saving[key]; running != nil {
		running.changed = c.Clone()
	}
}

func (o *overlay) of(key string) *unsaved {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unsaved[key]
}

func (o *overlay) keys() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []string
	for key := range o.unsaved {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// storedVersion translates a version that Load returned into the backend's, and returns
// the unsaved tokens in it. ok is false if the record has changed since then. No backend
// can tell that while the change is unsaved.
func (o *overlay) storedVersion(key string, v Version) (stored Version, u *unsaved, ok bool) {
	u = o.of(key)
	switch {
	case v == AnyVersion:
		return v, u, true
	case u == nil:
		return v, nil, !strings.HasPrefix(string(v), unsavedVersion)
	}
	rest, ok := strings.CutPrefix(string(v), u.prefix())
	return Version(rest), u, ok
}

// keep notes that mine, which was made of from.cache, could not be saved.
func (o *overlay) keep(key string, from contents, mine *tokencache.Cache, cause error, now time.Time) *unsaved {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unsaved == nil {
		o.unsaved, o.retry = make(map[string]*unsaved), make(map[string]failure)
	}
	o.serial++
	u := &unsaved{serial: o.serial, base: from.stored, cache: mine.Clone()}
	running := o.saving[key]
	switch present := o.unsaved[key]; {
	case present == nil && running != nil && running.changed != nil:
		// This save may have happened before the last one.
		u.base, u.cache = running.changed, tokencache.Merge(from.cache, mine, running.changed)
	case present != nil && present == from.unsaved:
		u.after, u.afterRecord = present.serial, from.cache
	case present != nil: // another save has failed meanwhile
		u.base, u.cache = present.base, tokencache.Merge(from.cache, mine, present.cache)
		u.after, u.afterRecord = present.serial, present.cache
	case from.unsaved != nil: // its tokens are saved, or were removed: only what is new counts
		u.base = from.cache
	}
	o.unsaved[key] = u
	o.retry[key] = o.retry[key].again(cause, 0, now)
	return u
}

// settle notes that u is saved, or no longer wanted, and reports whether it was still
// unsaved.
func (o *overlay) settle(key string, u *unsaved) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.remove(key, u)
}

// settleStored is settle for tokens that are stored: by a save of them, or because a load
// found them before the answer of the save came. The result is true for both.
func (o *overlay) settleStored(key string, u *unsaved) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	u.stored = o.remove(key, u) || u.stored
	return u.stored
}

// takenBack reports whether u is no longer wanted: the application signed out, or deleted
// or replaced the record.
func (o *overlay) takenBack(key string, u *unsaved) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if u == nil || u.stored {
		return false
	}
	present := o.unsaved[key]
	return present != u && (present == nil || present.after != u.serial)
}

// remove is settle. The caller holds the mu.
func (o *overlay) remove(key string, u *unsaved) bool {
	present := o.unsaved[key]
	switch {
	case present == u:
		delete(o.unsaved, key)
		delete(o.retry, key)
		return true
	case present != nil && u != nil && present.after == u.serial:
		o.serial++
		o.unsaved[key] = &unsaved{serial: o.serial, base: present.afterRecord, cache: present.cache}
		return true
	}
	return false
}

// retryAt is the time of the next save in the background. It is zero if nothing is
// unsaved.
func (o *overlay) retryAt(key string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.retry[key].until
}

// due reports whether it is time to try again, and then puts off the next time.
func (o *overlay) due(key string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unsaved[key] == nil || o.retry[key].active(now) {
		return false
	}
	o.retry[key] = o.retry[key].again(o.retry[key].err, 0, now)
	return true
}

// saveInBackground tries again to save the unsaved tokens, if it is time for that.
func (s *Store) saveInBackground(ctx context.Context, key string) {
	if !s.unsaved.due(key, s.now()) {
		return
	}
	running := s.work.begin()
	go func() {
		defer s.work.end(running)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		_ = s.saveUnsaved(ctx, key) // the observer is told, and Flush returns the error
	}()
}

// Flush waits for the refreshes that are running now, and saves the unsaved tokens. If
// some remain unsaved, it returns ErrRefreshedNotSaved, joined with the causes. Call it
// before the process ends, when nothing asks for tokens any more.
func (s *Store) Flush(ctx context.Context) error {
	errs := []error{s.work.wait(ctx)}
	for _, key := range s.unsaved.keys() {
		errs = append(errs, s.saveUnsaved(ctx, key))
	}
	return errors.Join(errs...)
}

// saveUnsaved saves the unsaved tokens of key, or returns an error.
func (s *Store) saveUnsaved(ctx context.Context, key string) error {
	var passage passage
	processGates.arrive(&passage, s.gate(key), nil)
	err := passage.enter(ctx)
	if err == nil {
		defer passage.leave()
		err = bounded(ctx, func() error {
			c, err := s.read(ctx, key)
			if err == nil && c.unsaved != nil {
				_, err = s.commit(ctx, key, c, c.cache)
			}
			return err
		})
	}
	if err == nil {
		return nil
	}
	s.observe(ctx, EventUnsaved, key, s.now(), err)
	return s.fail("save", key, notSaved(err))
}

// saveObtained saves mine, which has tokens that the provider issued. A provider issues a
// single-use refresh token once, so a failing store is tried three times before the
// tokens stay in the process.
func (s *Store) saveObtained(ctx context.Context, key string, from contents, mine *tokencache.Cache) (contents, error) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	for pause := firstSavePause; ; pause *= 4 {
		var saved contents
		err := bounded(ctx, func() (err error) {
			saved, err = s.commit(ctx, key, from, mine)
			return err
		})
		if err == nil {
			return saved, nil
		}
		if pause > lastSavePause || isPermanent(err) || sleep.For(ctx, pause) != nil {
			return s.keepUnsaved(ctx, key, from, mine, err)
		}
	}
}

// keepUnsaved keeps the tokens that could not be saved, and reports it.
func (s *Store) keepUnsaved(ctx context.Context, key string, from contents, mine *tokencache.Cache, cause error) (contents, error) {
	u := s.unsaved.keep(key, from, mine, cause, s.now())
	writes.Add(1)
	s.observe(ctx, EventUnsaved, key, s.now(), cause)
	kept := contents{stored: from.stored, cache: u.over(from.stored), version: from.version, unsaved: u}
	return kept, s.fail("save", key, notSaved(cause))
}

const (
	saveTimeout                   = 30 * time.Second
	firstSavePause, lastSavePause = 50 * time.Millisecond, 200 * time.Millisecond
)

// isPermanent reports errors that another try won't change.
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

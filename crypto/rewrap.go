package crypto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// RewrapOptions says which records Rewrap encrypts again, and how. The zero value means
// all records that the backend lists.
type RewrapOptions struct {
	// Keys are the records' keys. Nil means all that the backend lists; it must then be a
	// [core.Lister].
	Keys []string

	// Namespace is the store's namespace, see [core.WithNamespace].
	Namespace string

	// Plaintext accepts plain records that are token caches, as [core.WithPlaintextReads]
	// does. Otherwise a plain record is a failure.
	Plaintext bool

	// DryRun does everything except saving: it tells what would be done, and which
	// records can't be decrypted.
	DryRun bool

	// Concurrency is how many records are worked on at the same time; 8 if it is zero.
	Concurrency int

	// Progress, unless it is nil, is called for each record when that is done, by one
	// goroutine at a time. Records come in any order.
	Progress func(RewrapProgress)
}

// RewrapProgress is about one record that Rewrap has finished.
type RewrapProgress struct {
	Key     string
	Outcome RewrapOutcome
	Err     error // of RewrapFailed; an *core.Error of the backend, or one that wraps core.ErrDecrypt
	Done    int   // records done with, this one among them
	Total   int   // records there are
}

// RewrapOutcome is the result for a record.
type RewrapOutcome uint8

const (
	// Rewrapped: the record was encrypted again and saved; in a dry run, it would be.
	Rewrapped RewrapOutcome = iota + 1
	// AlreadyCurrent: the record is encrypted with the primary key. It was neither
	// decrypted nor changed.
	AlreadyCurrent
	// RewrapGone: nothing is stored any more.
	RewrapGone
	// RewrapFailed: the record stays as it was, because of RewrapProgress.Err.
	RewrapFailed
)

func (o RewrapOutcome) String() string {
	switch o {
	case Rewrapped:
		return "rewrapped"
	case AlreadyCurrent:
		return "already current"
	case RewrapGone:
		return "gone"
	case RewrapFailed:
		return "failed"
	}
	return fmt.Sprintf("RewrapOutcome(%d)", uint8(o))
}

// RewrapReport counts records by their results. Left are those that Rewrap didn't reach,
// because it ended early.
type RewrapReport struct{ Rewrapped, Current, Gone, Failed, Left int }

// Rewrap decrypts stored records with m and encrypts them again with m's primary key.
// After a change of keys, m is a [Keyring] that has both; after a change of the manager,
// a [Transition].
//
// Programs may use the records meanwhile, with a manager that decrypts both forms. A
// record is saved as the successor of exactly the version that was decrypted. If another
// program saved meanwhile, Rewrap loads the record again. For that, the backend must
// compare versions. If it doesn't (backends/env) or leaves a gap (backends/bitwarden),
// other programs must not write meanwhile.
//
// Rewrap can be ended at any time and called again: a record that is already encrypted
// with the primary key costs one Load. Before it saves a record, it decrypts the new
// form, and compares.
//
// A manager with a method Prepare, such as [DataKeys], is prepared first: it learns the
// present version of its service's key.
//
// A record that can't be decrypted, is corrupt, or is too large for the store once
// encrypted, counts as failed, and Rewrap goes on with the others. Any other error, of
// the store or of ctx, ends Rewrap. The returned error joins the first errors. It is nil
// if every record is encrypted with the primary key, or gone.
func Rewrap(ctx context.Context, b core.TokenBackend, m Rotator, o RewrapOptions) (RewrapReport, error) {
	if err := prepare(ctx, m); err != nil {
		return RewrapReport{}, fmt.Errorf("crypto: rewrap: %w", err)
	}
	keys, err := rewrapKeys(ctx, b, o)
	if err != nil {
		return RewrapReport{}, fmt.Errorf("crypto: rewrap: listing the records: %w", err)
	}
	r := &rewrapping{backend: b, manager: m, options: o, total: len(keys)}
	r.report.Left = len(keys)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan string)
	var workers sync.WaitGroup
	for range min(r.workers(), len(keys)) {
		workers.Go(func() {
			for key := range queue {
				if err := r.take(ctx, key); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		select {
		case queue <- key:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()
	if r.report.Left > 0 {
		r.keep(fmt.Errorf("crypto: rewrap: ended with %d of %d records left; call it again: %w", r.report.Left, r.total, context.Cause(ctx)))
	}
	return r.report, r.err()
}

func rewrapKeys(ctx context.Context, b core.TokenBackend, o RewrapOptions) ([]string, error) {
	if o.Keys != nil {
		return slices.Compact(slices.Sorted(slices.Values(o.Keys))), nil
	}
	lister, ok := core.As[core.Lister](b)
	if !ok {
		return nil, errors.New("the backend can't list its records; name their keys in RewrapOptions.Keys")
	}
	// All keys are listed first, because a store may hold a lock while it lists.
	var keys []string
	for key, err := range lister.Keys(ctx) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// rewrapping is one call of Rewrap.
type rewrapping struct {
	backend core.TokenBackend
	manager Rotator
	options RewrapOptions
	total   int

	mu      sync.Mutex
	report  RewrapReport
	errs    []error // the first few
	omitted int
}

func (r *rewrapping) workers() int {
	if r.options.Concurrency > 0 {
		return r.options.Concurrency
	}
	return 8
}

// keep keeps err for the end: only the first few, because a million may fail for the same
// reason.
func (r *rewrapping) keep(err error) {
	const most = 10
	if len(r.errs) < most {
		r.errs = append(r.errs, err)
	} else {
		r.omitted++
	}
}

func (r *rewrapping) err() error {
	if r.omitted > 0 {
		r.errs = append(r.errs, fmt.Errorf("crypto: rewrap: %d more errors", r.omitted))
	}
	return errors.Join(r.errs...)
}

// take handles one record and reports it. If its error ends Rewrap, the record is left.
func (r *rewrapping) take(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	outcome, err := r.rewrap(ctx, key)
	if err != nil && !ofOneRecord(err) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Left--
	switch outcome {
	case Rewrapped:
		r.report.Rewrapped++
	case AlreadyCurrent:
		r.report.Current++
	case RewrapGone:
		r.report.Gone++
	case RewrapFailed:
		r.report.Failed++
		r.keep(fmt.Errorf("crypto: rewrap %q: %w", key, err))
	}
	if r.options.Progress != nil {
		r.options.Progress(RewrapProgress{Key: key, Outcome: outcome, Err: err, Done: r.total - r.report.Left, Total: r.total})
	}
	return nil
}

// ofOneRecord reports whether an error concerns one record alone.
func ofOneRecord(err error) bool {
	for _, one := range []error{core.ErrDecrypt, core.ErrCorrupt, core.ErrTooLarge, core.ErrInvalidKey, core.ErrConflict, errNotSame, errNotCurrent} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

var (
	errNotSame    = errors.New("the record's new form doesn't decrypt to the same record; nothing was saved")
	errNotCurrent = errors.New("the record's new form isn't encrypted with the primary key: a key service's key may have been rotated meanwhile; nothing was saved, call Rewrap again")
)

// rewrap handles one record. If another program saves meanwhile it begins again, a
// limited number of times: each of those saves is encrypted with the primary key, if that
// program has the same primary key.
func (r *rewrapping) rewrap(ctx context.Context, key string) (RewrapOutcome, error) {
	const most = 100
	for attempt := 0; ; attempt++ {
		outcome, err := r.once(ctx, key)
		if !errors.Is(err, core.ErrConflict) || attempt == most {
			return outcome, err
		}
		pause := time.NewTimer(rand.N(time.Millisecond << min(attempt, 6)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return RewrapFailed, context.Cause(ctx)
		}
	}
}

func (r *rewrapping) once(ctx context.Context, key string) (RewrapOutcome, error) {
	rec, err := r.backend.Load(ctx, key)
	switch {
	case errors.Is(err, core.ErrNotFound):
		return RewrapGone, nil
	case err != nil:
		return RewrapFailed, err
	case !r.manager.NeedsRotation(rec.Data):
		return AlreadyCurrent, nil
	}
	place := core.AssociatedData(r.options.Namespace, key)
	plaintext, err := r.plaintext(ctx, rec.Data, place)
	if err != nil {
		return RewrapFailed, err
	}
	stored, err := r.manager.Encrypt(ctx, plaintext, place)
	if err != nil {
		return RewrapFailed, err
	}
	switch again, err := r.manager.Decrypt(ctx, bytes.Clone(stored), place); {
	case err != nil && !errors.Is(err, core.ErrDecrypt):
		return RewrapFailed, err
	case err != nil || !bytes.Equal(again, plaintext):
		return RewrapFailed, errNotSame
	case r.manager.NeedsRotation(stored):
		return RewrapFailed, errNotCurrent
	}
	if r.options.DryRun {
		return Rewrapped, nil
	}
	if _, err := r.backend.Save(ctx, key, core.Record{Data: stored, Version: rec.Version}); err != nil {
		return RewrapFailed, err
	}
	return Rewrapped, nil
}

// plaintext decrypts stored. A record counts as plain only if nothing decrypts it.
func (r *rewrapping) plaintext(ctx context.Context, stored, place []byte) ([]byte, error) {
	plaintext, err := r.manager.Decrypt(ctx, stored, place)
	if err == nil || !r.options.Plaintext || !errors.Is(err, core.ErrDecrypt) {
		return plaintext, err
	}
	if _, notPlain := tokencache.Parse(stored); notPlain != nil {
		return nil, err
	}
	return stored, nil
}

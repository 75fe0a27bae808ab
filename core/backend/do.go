package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/core"
)

// Op is one operation of a backend: a call of one of its methods. Origin makes it;
// a backend that needs more for all of its operations sets the fields below in a
// function of its own:
//
//	func (b *Backend) op(name, key string) backend.Op {
//		op := origin.Op(name, key)
//		op.Classify = classify
//		return op
//	}
type Op struct {
	Origin Origin
	Name   string // "load", "save", …: Op of core.Error
	Key    string

	// CheckKey refuses keys that [core.ValidateKey] takes and the store doesn't, with
	// an error that wraps core.ErrInvalidKey. It may be nil.
	CheckKey func(key string) error

	// Classify says what an error of the store's client means: it returns the error
	// wrapped in core.ErrNotFound where nothing is stored (absent), in
	// core.ErrCorrupt where what is stored is no record (broken), in
	// core.ErrReadOnly, core.ErrTooLarge or core.ErrConflict where that is what the
	// store says; and any other as it is: the store can't be reached, or is at
	// fault. It may be nil.
	Classify func(error) error

	store       bool // the operation is on no key
	saved       bool // it stores a record of size bytes, where limit of them may be stored
	size, limit int
}

// Do is the one way an operation of a backend runs. It returns an error, and doesn't
// call run, if
//
//   - the key is none (core.ErrInvalidKey),
//   - ctx is done (its error),
//   - the operation would save a record without data (core.ErrCorrupt), or one of
//     more bytes than the store takes (core.ErrTooLarge).
//
// An error of run is told as the backend's: a [*core.Error] that has the operation
// and the key, around what the store's client said, of the class that op.Classify
// tells; one that is a *core.Error already stays as it is. Where the client says that it was interrupted without saying that ctx was
// the reason, ctx's error is wrapped too.
func Do(ctx context.Context, op Op, run func() error) error {
	if err := op.admit(ctx); err != nil {
		return op.fail(err)
	}
	err := run()
	if known := (*core.Error)(nil); err == nil || errors.As(err, &known) {
		return err
	}
	if op.Classify != nil {
		err = op.Classify(err)
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) && !classified(err) {
		err = fmt.Errorf("%w: %w", done, err)
	}
	return op.fail(err)
}

// DoValue is [Do] for an operation that returns a value, which is zero with an
// error. A record without data or without a version, as Load returned it, is
// core.ErrCorrupt.
func DoValue[T any](ctx context.Context, op Op, run func() (T, error)) (T, error) {
	var value, none T
	err := Do(ctx, op, func() (err error) {
		if value, err = run(); err != nil {
			return err
		}
		return checkLoaded(&value)
	})
	if err != nil {
		return none, err
	}
	return value, nil
}

// checkLoaded refuses what is no whole record.
func checkLoaded(value any) error {
	rec, ok := value.(*core.Record)
	switch {
	case !ok:
		return nil
	case len(rec.Data) == 0:
		return fmt.Errorf("%w: what is stored is empty", core.ErrCorrupt)
	case rec.Version == core.Absent:
		return fmt.Errorf("%w: what is stored has no version", core.ErrCorrupt)
	}
	return nil
}

// admit returns the error of an operation that must have no effect.
func (o Op) admit(ctx context.Context) error {
	if !o.store {
		if err := core.ValidateKey(o.Key); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.CheckKey != nil && !o.store {
		if err := o.CheckKey(o.Key); err != nil {
			return err
		}
	}
	switch {
	case o.saved && o.size == 0:
		return fmt.Errorf("%w: no data", core.ErrCorrupt)
	case o.limit > 0 && o.size > o.limit:
		return fmt.Errorf("%w: %d bytes, the limit is %d", core.ErrTooLarge, o.size, o.limit)
	}
	return nil
}

func (o Op) fail(err error) error { return o.Origin.Fail(o.Name, o.Key, err) }

// classes are the errors that say what is the matter, and not that the store
// couldn't be asked.
var classes = []error{
	core.ErrNotFound, core.ErrCorrupt, core.ErrDecrypt, core.ErrConflict, core.ErrLeaseHeld, core.ErrLeaseLost,
	core.ErrTooLarge, core.ErrReadOnly, core.ErrUnsafeDirectory, core.ErrInvalidKey, core.ErrRefreshedNotSaved, core.ErrReauthRequired,
}

func classified(err error) bool {
	for _, class := range classes {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

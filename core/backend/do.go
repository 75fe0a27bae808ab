package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/core"
)

// Op is one operation of a backend: a call of one of its methods. Origin makes it. A
// backend that needs more for all of its operations sets the fields below in a function
// of its own:
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

	// CheckKey refuses keys that [core.ValidateKey] accepts and the store doesn't. Its
	// error wraps core.ErrInvalidKey. It may be nil.
	CheckKey func(key string) error

	// Classify tells what an error of the store's client means. It returns the error
	// wrapped in core.ErrNotFound if nothing is stored (absent), in core.ErrCorrupt if
	// the stored value is no record (broken), and in core.ErrReadOnly, core.ErrTooLarge
	// or core.ErrConflict if the store says that. It returns any other error unchanged:
	// the store can't be reached, or has a fault. It may be nil.
	Classify func(error) error

	store       bool // the operation concerns no key
	saved       bool // it saves a record of size bytes; the limit is limit
	size, limit int
}

// Do runs an operation of a backend. It returns an error, and doesn't call run, if
//
//   - the key is invalid (core.ErrInvalidKey),
//   - ctx is done (its error),
//   - the operation would save a record without data (core.ErrCorrupt), or a larger one
//     than the store can hold (core.ErrTooLarge).
//
// An error of run becomes a [*core.Error] with the backend's name, the operation and the
// key, classified by op.Classify. A *core.Error stays as it is. If the client says that
// it was interrupted, without the reason, and ctx is done, ctx's error is wrapped too.
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

// DoValue is [Do] for an operation that returns a value. With an error, the value is
// zero. A record from Load without data or without a version is core.ErrCorrupt.
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

// checkLoaded refuses an incomplete record.
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

// classes are the errors that tell what is wrong. Without one of them, the store couldn't
// be asked.
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

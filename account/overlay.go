package account

import (
	"context"
	"iter"
	"maps"
	"strconv"
	"strings"
	"sync"

	"github.com/graphtoken/graphtoken/core"
)

// overlay is a backend that reads a store's records, and keeps in memory what is saved to
// it.
type overlay struct {
	core.Uncoordinated
	below *core.Store

	mu    sync.Mutex
	saves int
	saved map[string]core.Record // without data: deleted in memory
}

// overlaid returns a store on an overlay.
func overlaid(below *core.Store) *core.Store {
	return core.NewStore(&overlay{below: below, saved: make(map[string]core.Record)})
}

// belowVersion begins the versions of records that were read from the store.
const belowVersion = "below "

// Load returns the record in memory, or else the store's.
func (o *overlay) Load(ctx context.Context, key string) (core.Record, error) {
	if err := ctx.Err(); err != nil {
		return core.Record{}, err
	}
	if rec, known := o.own(key); known {
		if rec.Data == nil {
			return core.Record{}, o.fail("load", key, core.ErrNotFound)
		}
		return rec, nil
	}
	c, v, err := o.below.Load(ctx, key)
	if err != nil {
		return core.Record{}, err
	}
	data, err := c.Marshal()
	return core.Record{Data: data, Version: belowVersion + v}, err
}

func (o *overlay) own(key string) (core.Record, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rec, known := o.saved[key]
	return rec, known
}

// Save keeps the record in memory. If it was made from another version of the store's
// record, that is no conflict, because the store's record stays as it is.
func (o *overlay) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if own, known := o.saved[key]; known && rec.Version != core.AnyVersion && rec.Version != own.Version ||
		!known && rec.Version != core.AnyVersion && rec.Version != core.Absent && !strings.HasPrefix(string(rec.Version), belowVersion) {
		return "", o.fail("save", key, core.ErrConflict)
	}
	o.saves++
	rec.Version = core.Version(strconv.Itoa(o.saves))
	rec.Data = append(core.Data(nil), rec.Data...)
	o.saved[key] = rec
	return rec.Version, nil
}

// Check reports whether Load would find a record.
func (o *overlay) Check(ctx context.Context, key string) (bool, error) {
	if rec, known := o.own(key); known {
		return rec.Data != nil, nil
	}
	return o.below.Check(ctx, key)
}

// Delete hides the record of the store.
func (o *overlay) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saved[key] = core.Record{}
	return nil
}

// Keys returns the keys of the store, and of the records in memory.
func (o *overlay) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		o.mu.Lock()
		own := maps.Clone(o.saved)
		o.mu.Unlock()
		for key, rec := range own {
			if rec.Data != nil && !yield(key, nil) {
				return
			}
		}
		for key, err := range o.below.Keys(ctx) {
			if _, known := own[key]; !known && !yield(key, err) {
				return
			}
		}
	}
}

// fail is an error of the overlay.
func (o *overlay) fail(op, key string, err error) error {
	return &core.Error{Op: op, Backend: "memory", Key: key, Err: err}
}

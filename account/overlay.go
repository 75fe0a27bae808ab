package account

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// overlay is a backend that reads what a store has, and keeps in memory what is saved
// to it.
type overlay struct {
	core.Uncoordinated
	below *core.Store

	mu    sync.Mutex
	saves int
	saved map[string]saved
}

// saved is a record as it was saved or, without data, deleted.
type saved struct {
	data     func() []byte // a function, because nothing that prints looks into one
	version  core.Version
	modified time.Time
}

var _ core.Lister = (*overlay)(nil)

// overlaid returns a store on an overlay.
func overlaid(below *core.Store) *core.Store { return core.NewStore(newOverlay(below)) }

func newOverlay(below *core.Store) *overlay {
	return &overlay{below: below, saved: make(map[string]saved)}
}

// overlayOrigin names the backend in its errors.
const overlayOrigin backend.Origin = "memory"

// belowVersion begins the versions of records that were read from the store.
const belowVersion = "below "

// Load returns the record saved here, or else what the store has now.
func (o *overlay) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, overlayOrigin.Op("load", key), func() (core.Record, error) {
		if own, known := o.own(key); known {
			if own.data == nil {
				return core.Record{}, core.ErrNotFound
			}
			return core.Record{Data: bytes.Clone(own.data()), Version: own.version, Modified: own.modified}, nil
		}
		c, v, err := o.below.Load(ctx, key)
		if err != nil {
			return core.Record{}, err
		}
		data, err := c.Marshal()
		return core.Record{Data: data, Version: belowVersion + v}, err
	})
}

func (o *overlay) own(key string) (saved, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	own, known := o.saved[key]
	return own, known
}

// Save keeps the record in memory. If it was made from another version of the store's
// record, that is no conflict, because the store's record stays as it is.
func (o *overlay) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, overlayOrigin.SaveOp(key, rec, 0), func() (core.Version, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.allows(key, rec.Version) {
			return "", core.ErrConflict
		}
		o.saves++
		data, version := bytes.Clone(rec.Data), core.Version(strconv.Itoa(o.saves))
		o.saved[key] = saved{func() []byte { return data }, version, time.Now()}
		return version, nil
	})
}

// allows reports whether a record made of version v may be saved. The mu is held.
func (o *overlay) allows(key string, v core.Version) bool {
	own, known := o.saved[key]
	switch {
	case v == core.AnyVersion:
		return true
	case known:
		return v == own.version
	}
	return v == core.Absent || strings.HasPrefix(string(v), belowVersion)
}

// Check reports whether Load would find a record.
func (o *overlay) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, overlayOrigin.Op("check", key), func() (bool, error) {
		if own, known := o.own(key); known {
			return own.data != nil, nil
		}
		return o.below.Check(ctx, key)
	})
}

// Delete hides the record of the store.
func (o *overlay) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, overlayOrigin.Op("delete", key), func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.saved[key] = saved{}
		return nil
	})
}

// Keys returns those of the records saved here, and of the store's others.
func (o *overlay) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, overlayOrigin.StoreOp("list"), func(yield func(key string) bool) error {
		o.mu.Lock()
		own := maps.Clone(o.saved)
		o.mu.Unlock()
		for key, s := range own {
			if s.data != nil && !yield(key) {
				return nil
			}
		}
		for key, err := range o.below.Keys(ctx) {
			if err != nil {
				return err
			}
			if _, known := own[key]; !known && !yield(key) {
				return nil
			}
		}
		return nil
	})
}

// Format prints nothing of the records, whatever the verb.
func (o *overlay) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "records in memory, over a store")
}

package conformance

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/graphtoken/graphtoken/conformance/internal/reference"
	"github.com/graphtoken/graphtoken/core"
)

// broken is a reference backend some of whose methods are replaced.
type broken struct {
	*reference.Backend

	load          func(ctx context.Context, key string) (core.Record, error)
	save          func(ctx context.Context, key string, rec core.Record) (core.Version, error)
	check         func(ctx context.Context, key string) (bool, error)
	delete        func(ctx context.Context, key string) error
	shouldRefresh func(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error)
	acquire       func(ctx context.Context, key string, ttl time.Duration) (core.Lease, error)
	wait          func(ctx context.Context, key string, seen core.Version) error
	keys          func(ctx context.Context) iter.Seq2[string, error]
	ping          func(ctx context.Context) error
	used          int64 // the answer of Space
	maxSize       func() int
	place         any
	print         func() string
}

func (b *broken) Load(ctx context.Context, key string) (core.Record, error) {
	if b.load != nil {
		return b.load(ctx, key)
	}
	return b.Backend.Load(ctx, key)
}

func (b *broken) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if b.save != nil {
		return b.save(ctx, key, rec)
	}
	return b.Backend.Save(ctx, key, rec)
}

func (b *broken) Check(ctx context.Context, key string) (bool, error) {
	if b.check != nil {
		return b.check(ctx, key)
	}
	return b.Backend.Check(ctx, key)
}

func (b *broken) Delete(ctx context.Context, key string) error {
	if b.delete != nil {
		return b.delete(ctx, key)
	}
	return b.Backend.Delete(ctx, key)
}

func (b *broken) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	if b.shouldRefresh != nil {
		return b.shouldRefresh(ctx, key, req)
	}
	return core.Coordinate(ctx, b, b, key, req)
}

func (b *broken) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if b.acquire != nil {
		return b.acquire(ctx, key, ttl)
	}
	return b.Backend.Acquire(ctx, key, ttl)
}

func (b *broken) Wait(ctx context.Context, key string, seen core.Version) error {
	if b.wait != nil {
		return b.wait(ctx, key, seen)
	}
	return b.Backend.Wait(ctx, key, seen)
}

func (b *broken) Keys(ctx context.Context) iter.Seq2[string, error] {
	if b.keys != nil {
		return b.keys(ctx)
	}
	return b.Backend.Keys(ctx)
}

func (b *broken) Ping(ctx context.Context) error {
	if b.ping != nil {
		return b.ping(ctx)
	}
	return b.Backend.Ping(ctx)
}

func (b *broken) Space(context.Context) (used, most int64, err error) { return b.used, 0, nil }

func (b *broken) Place() any { return b.place }

func (b *broken) MaxSize() int {
	if b.maxSize != nil {
		return b.maxSize()
	}
	return b.Backend.MaxSize()
}

func (b *broken) String() string {
	if b.print != nil {
		return b.print()
	}
	return "broken"
}

func (b *broken) GoString() string { return b.String() }

// renamed has every method see another key than the caller's.
func (b *broken) renamed(name func(key string) string) {
	b.load = func(ctx context.Context, key string) (core.Record, error) { return b.Backend.Load(ctx, name(key)) }
	b.save = func(ctx context.Context, key string, rec core.Record) (core.Version, error) {
		return b.Backend.Save(ctx, name(key), rec)
	}
	b.check = func(ctx context.Context, key string) (bool, error) { return b.Backend.Check(ctx, name(key)) }
	b.delete = func(ctx context.Context, key string) error { return b.Backend.Delete(ctx, name(key)) }
	b.acquire = func(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
		return b.Backend.Acquire(ctx, name(key), ttl)
	}
}

// altered has Save store other data than it was given.
func (b *broken) altered(alter func(data []byte) []byte) {
	b.save = func(ctx context.Context, key string, rec core.Record) (core.Version, error) {
		rec.Data = alter(rec.Data)
		return b.Backend.Save(ctx, key, rec)
	}
}

// matching has Save take a version for the stored one if match says so.
func (b *broken) matching(match func(given, stored core.Version) bool) {
	b.save = func(ctx context.Context, key string, rec core.Record) (core.Version, error) {
		if was, err := b.Backend.Load(ctx, key); err == nil && match(rec.Version, was.Version) {
			rec.Version = was.Version
		}
		return b.Backend.Save(ctx, key, rec)
	}
}

// brokenLease is a lease some of whose methods are replaced.
type brokenLease struct {
	core.Lease
	renew   func(ctx context.Context, ttl time.Duration) error
	release func(ctx context.Context) error
}

func (l *brokenLease) Renew(ctx context.Context, ttl time.Duration) error {
	if l.renew != nil {
		return l.renew(ctx, ttl)
	}
	return l.Lease.Renew(ctx, ttl)
}

func (l *brokenLease) Release(ctx context.Context) error {
	if l.release != nil {
		return l.release(ctx)
	}
	return l.Lease.Release(ctx)
}

// leased has every acquired lease replaced.
func (b *broken) leased(lease func(key string, l core.Lease) *brokenLease) {
	b.acquire = func(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
		l, err := b.Backend.Acquire(ctx, key, ttl)
		if err != nil {
			return nil, err
		}
		return lease(key, l), nil
	}
}

// coordinator is a ShouldRefresh that can be broken: simpler than
// core.Coordinate, and correct as it stands.
type coordinator struct {
	noLease, noCompareBefore, noCompareUnder, keepsOnError, keepsOnPanic, keepsOnQuestion, swallows, wrongRecord     bool
	waitsForLeaseOnly, ignoresContext, attached, twice, notNeededFails, anyIsNoVersion, absentIsEmpty, comparesFirst bool
	ttl                                                                                                              time.Duration
}

func (k coordinator) shouldRefresh(b *broken) func(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return func(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
		if err := core.ValidateKey(key); err != nil {
			return 0, err
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if k.ignoresContext {
			ctx = context.WithoutCancel(ctx)
		}
		ttl := req.LeaseTTL
		if ttl == 0 && k.ttl == 0 {
			ttl = core.DefaultLeaseTTL
		}
		current := func() (core.Record, bool, error) {
			rec, err := b.Load(ctx, key)
			if errors.Is(err, core.ErrNotFound) {
				rec, err = core.Record{Version: core.Absent}, nil
				if k.absentIsEmpty {
					rec.Version = core.AnyVersion
				}
			}
			changed := req.Seen != rec.Version && (k.anyIsNoVersion || req.Seen != core.AnyVersion)
			return rec, changed, err
		}
		var lease core.Lease
		for first := true; !k.noLease; first = false {
			_, changed, err := current()
			if err != nil {
				return 0, err
			}
			if changed && !k.noCompareBefore && !k.waitsForLeaseOnly && (first || !k.comparesFirst) {
				return core.RefreshedElsewhere, nil
			}
			if lease, err = b.Acquire(ctx, key, ttl); err == nil {
				break
			} else if !errors.Is(err, core.ErrLeaseHeld) {
				return 0, err
			}
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
		free := func() {
			if lease != nil {
				_ = lease.Release(context.WithoutCancel(ctx))
			}
		}
		rec, changed, err := current()
		if err != nil {
			free()
			return 0, err
		}
		if changed && !k.noCompareUnder {
			free()
			return core.RefreshedElsewhere, nil
		}
		if req.Refresh == nil {
			if !k.keepsOnQuestion {
				free()
			}
			return core.RefreshNow, nil
		}
		if !k.keepsOnPanic {
			defer func() {
				if p := recover(); p != nil {
					free()
					panic(p)
				}
			}()
		}
		if k.wrongRecord {
			rec = core.Record{}
		}
		refreshing := context.WithoutCancel(ctx)
		if k.attached {
			refreshing = ctx
		}
		err = req.Refresh(refreshing, rec)
		if k.twice && err == nil {
			rec, _, _ = current()
			err = req.Refresh(refreshing, rec)
		}
		if err == nil || !k.keepsOnError {
			free()
		}
		switch {
		case errors.Is(err, core.ErrNotNeeded) && !k.notNeededFails:
			return core.RefreshedElsewhere, nil
		case err != nil && !k.swallows:
			return 0, err
		}
		return core.RefreshedHere, nil
	}
}

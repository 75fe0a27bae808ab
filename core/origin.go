package core

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// Origin is a backend's name in its errors, and what every backend's methods
// begin and end with:
//
//	const origin core.Origin = "redis"
//
//	func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
//		if err := origin.Admit(ctx, "load", key); err != nil {
//			return core.Record{}, err
//		}
//		…
//		return core.Record{}, origin.Fail("load", key, err)
//	}
type Origin string

// Admit returns the error of a call that must have no effect: of a key that is
// none, or of a caller who is gone.
func (o Origin) Admit(ctx context.Context, op, key string) error {
	if err := ValidateKey(key); err != nil {
		return o.Fail(op, key, err)
	}
	return o.Fail(op, key, ctx.Err())
}

// Require returns the error of a constructor that was given no client: nil, or an
// interface that holds a nil pointer, as it comes from a variable that was
// declared and never set.
func (o Origin) Require(client any) error {
	if v := reflect.ValueOf(client); v.IsValid() && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return nil
	}
	return o.Fail("new", "", errors.New("no client"))
}

// Fail makes an [*Error] of err, unless it is nil or comes from a backend
// already.
func (o Origin) Fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if known := (*Error)(nil); errors.As(err, &known) {
		return err
	}
	return &Error{Op: op, Backend: string(o), Key: key, Err: err}
}

// Coordinate is a backend's whole ShouldRefresh: [Coordinate] over the leases of
// l, which is the backend itself or what it leases by. Refresh's own error stays
// as it is: what the provider says isn't the store's error.
func (o Origin) Coordinate(ctx context.Context, b TokenBackend, l Leaser, key string, req RefreshRequest) (RefreshDecision, error) {
	if err := o.Admit(ctx, "refresh", key); err != nil {
		return 0, err
	}
	failed := false
	if refresh := req.Refresh; refresh != nil {
		req.Refresh = func(ctx context.Context, current Record) error {
			err := refresh(ctx, current)
			failed = err != nil
			return err
		}
	}
	decision, err := Coordinate(ctx, b, l, key, req)
	if failed {
		return decision, err
	}
	return decision, o.Fail("refresh", key, err)
}

// Lease returns l with errors that say whose lease it is.
func (o Origin) Lease(key string, l Lease) Lease {
	return &namedLease{lease: l, origin: o, key: key}
}

type namedLease struct {
	lease  Lease
	origin Origin
	key    string
}

func (l *namedLease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.origin.Fail("renew", l.key, l.lease.Renew(ctx, ttl))
}

func (l *namedLease) Release(ctx context.Context) error {
	return l.origin.Fail("release", l.key, l.lease.Release(ctx))
}

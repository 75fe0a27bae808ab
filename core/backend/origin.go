package backend

import (
	"context"
	"errors"
	"reflect"

	"github.com/graphtoken/graphtoken/core"
)

// Origin is a backend's name in its errors, such as "redis".
type Origin string

// Op is an operation on one key: a call of Load, Check, Delete, Wait or Probe, whose
// name is written in lower case.
func (o Origin) Op(name, key string) Op { return Op{Origin: o, Name: name, Key: key} }

// StoreOp is an operation that concerns no key: a call of Keys or Ping.
func (o Origin) StoreOp(name string) Op { return Op{Origin: o, Name: name, store: true} }

// SaveOp is a call of Save. limit is the largest number of bytes of a record; zero means
// that the store has no limit.
func (o Origin) SaveOp(key string, rec core.Record, limit int) Op {
	return Op{Origin: o, Name: "save", Key: key, saved: true, size: len(rec.Data), limit: limit}
}

// Fail makes a [*core.Error] of err, unless err is nil or already one. It is for calls
// that aren't operations, such as New:
//
//	b, err := newBackend(client, o)
//	return b, origin.Fail("new", "", err)
func (o Origin) Fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if known := (*core.Error)(nil); errors.As(err, &known) {
		return err
	}
	return &core.Error{Op: op, Backend: string(o), Key: key, Err: err}
}

// Require returns an error if client is nil, or an interface with a nil pointer in it,
// such as a variable that was declared and never set. New calls it.
func (o Origin) Require(client any) error {
	if v := reflect.ValueOf(client); v.IsValid() && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return nil
	}
	return o.Fail("new", "", errors.New("no client"))
}

// Coordinate is the whole of ShouldRefresh for a backend with leases: [core.Coordinate]
// with b and the leases of l, which is b itself or the backend's leaser.
//
//	func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
//		return origin.Coordinate(ctx, b, b, key, req)
//	}
//
// The error of req.Refresh stays unchanged, because it comes from the provider and not
// from the store.
func (o Origin) Coordinate(ctx context.Context, b core.TokenBackend, l core.Leaser, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	var refused error // by req.Refresh
	if refresh := req.Refresh; refresh != nil {
		req.Refresh = func(ctx context.Context, current core.Record) error {
			refused = refresh(ctx, current)
			return refused
		}
	}
	var unnamed error
	decision, err := DoValue(ctx, o.Op("refresh", key), func() (decision core.RefreshDecision, err error) {
		decision, err = core.Coordinate(ctx, b, l, key, req)
		if refused != nil {
			unnamed, err = err, nil
		}
		return decision, err
	})
	if refused != nil {
		return decision, unnamed
	}
	return decision, err
}

package firestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend], with one call. If the field is empty, or has
// another type than string or bytes, the error is core.ErrCorrupt.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		found, err := b.get(ctx, b.place(key).record)
		if err != nil {
			return core.Record{}, err
		}
		rec := core.Record{Version: stateOf(found), Modified: found.UpdateTime}
		switch value := b.valueIn(found).(type) {
		case nil:
			return core.Record{}, core.ErrNotFound
		case string:
			rec.Data = []byte(value)
		case []byte:
			rec.Data = value
		default:
			return core.Record{}, fmt.Errorf("%w: the field %s must be a string or bytes", core.ErrCorrupt, b.field)
		}
		return rec, nil
	})
}

// Check implements [core.TokenBackend], with one call. A damaged record also counts as a
// record.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		found, err := b.get(ctx, b.place(key).record)
		return err == nil && b.valueIn(found) != nil, err
	})
}

// get reads a document that may not exist. DocumentRef.Get won't do: it also returns
// NotFound if the database doesn't exist.
func (b *Backend) get(ctx context.Context, doc *firestore.DocumentRef) (*firestore.DocumentSnapshot, error) {
	found, err := b.client.GetAll(ctx, []*firestore.DocumentRef{doc})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// valueIn is the record's field. It is nil if there is no record.
func (b *Backend) valueIn(found *firestore.DocumentSnapshot) any { return fieldOf(found, b.field) }

// fieldOf is a field of a document. It is nil if there is no such field, and an error if
// the client can't decode the field's value.
func fieldOf(found *firestore.DocumentSnapshot, field string) any {
	if !found.Exists() {
		return nil
	}
	value, err := found.DataAtPath(firestore.FieldPath{field})
	if missing := (*firestore.FieldNotFoundError)(nil); errors.As(err, &missing) {
		return nil
	} else if err != nil {
		return err
	}
	return value
}

// stateOf is a document's update time as a Version. It is core.Absent if there is no
// document.
func stateOf(found *firestore.DocumentSnapshot) core.Version {
	if !found.Exists() {
		return core.Absent
	}
	return versionOf(found.UpdateTime)
}

// versionOf turns an update time, which Firestore stores in microseconds, into a Version.
func versionOf(updated time.Time) core.Version {
	return core.Version(updated.UTC().Format(time.RFC3339Nano))
}

// timeOf turns a Version into an update time. ok is false for a text that versionOf never
// returns.
func timeOf(v core.Version) (updated time.Time, ok bool) {
	updated, err := time.Parse(time.RFC3339Nano, string(v))
	return updated, err == nil && versionOf(updated) == v
}

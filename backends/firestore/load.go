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

// Load implements [core.TokenBackend], with one call. An empty field, and one of
// another type than string or bytes, is core.ErrCorrupt.
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
			return core.Record{}, fmt.Errorf("%w: the field %s is neither a string nor bytes", core.ErrCorrupt, b.field)
		}
		return rec, nil
	})
}

// Check implements [core.TokenBackend], with one call. A damaged record is one,
// too.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		found, err := b.get(ctx, b.place(key).record)
		return err == nil && b.valueIn(found) != nil, err
	})
}

// get reads a document that may not exist. It isn't DocumentRef.Get, whose
// NotFound is the database's, too, where that isn't there.
func (b *Backend) get(ctx context.Context, doc *firestore.DocumentRef) (*firestore.DocumentSnapshot, error) {
	found, err := b.client.GetAll(ctx, []*firestore.DocumentRef{doc})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// valueIn is the record's field, nil where there is no record.
func (b *Backend) valueIn(found *firestore.DocumentSnapshot) any { return fieldOf(found, b.field) }

// fieldOf is a field of a document, nil where there is none. For a value that the
// client can't make sense of it is an error.
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

// stateOf is a document's update time as a Version, and core.Absent where there is
// no document.
func stateOf(found *firestore.DocumentSnapshot) core.Version {
	if !found.Exists() {
		return core.Absent
	}
	return versionOf(found.UpdateTime)
}

// versionOf is an update time, of which Firestore keeps microseconds, as a
// Version.
func versionOf(updated time.Time) core.Version {
	return core.Version(updated.UTC().Format(time.RFC3339Nano))
}

// timeOf is the other way round; ok is false for what versionOf never said.
func timeOf(v core.Version) (updated time.Time, ok bool) {
	updated, err := time.Parse(time.RFC3339Nano, string(v))
	return updated, err == nil && versionOf(updated) == v
}

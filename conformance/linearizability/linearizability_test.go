package linearizability

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/conformance/internal/reference"
	"github.com/graphtoken/graphtoken/core"
)

type env struct{ *reference.Store }

func (e env) Open(conformance.T) core.TokenBackend { return e.Store.Open() }

var harness = conformance.Harness{
	New:  func(conformance.T) conformance.Env { return env{reference.New()} },
	Want: conformance.Capabilities{CAS: conformance.CASEnforced},
}

func TestACorrectBackendIsLinearizable(t *testing.T) { Run(t, harness) }

func FuzzLinearizable(f *testing.F) { Fuzz(f, harness) }

// twoSteps compares, and then writes.
type twoSteps struct{ *reference.Backend }

func (b twoSteps) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	was, err := b.Load(ctx, key)
	if errors.Is(err, core.ErrNotFound) {
		was.Version, err = core.Absent, nil
	}
	if err != nil {
		return "", err
	}
	if rec.Version != core.AnyVersion && rec.Version != was.Version {
		return "", core.ErrConflict
	}
	rec.Version = core.AnyVersion
	return b.Backend.Save(ctx, key, rec)
}

type torn struct{ *reference.Store }

func (e torn) Open(conformance.T) core.TokenBackend { return twoSteps{e.Store.Open()} }

func TestLostUpdatesAreFound(t *testing.T) {
	h := conformance.Harness{New: func(conformance.T) conformance.Env { return torn{reference.New()} }, Want: harness.Want}
	everybodyCreates := slices.Repeat([]byte{0x30, 0x30, 0x20, 0x20, 0x00, 0x00}, 8)
	for range 1000 {
		if err := play(t, h, everybodyCreates); err != nil {
			t.Logf("%v", err)
			return
		}
	}
	t.Error("a backend that compares first and writes then is found linearizable")
}

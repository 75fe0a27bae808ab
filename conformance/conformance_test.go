package conformance

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/conformance/internal/reference"
	"github.com/graphtoken/graphtoken/core"
)

// everything is what the reference backend claims.
var everything = Capabilities{CAS: CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true}

// full is an Env that can do all an Env can.
type full struct{ *reference.Store }

func (e full) Open(T) core.TokenBackend { return e.Store.Open() }

// bare is an Env that can do nothing but Open.
type bare struct{ store *reference.Store }

func (e bare) Open(T) core.TokenBackend { return e.store.Open() }

func TestACorrectBackendPasses(t *testing.T) {
	Run(t, Harness{New: func(T) Env { return full{reference.New()} }, Want: everything})
}

func TestACorrectBackendPassesInRealTime(t *testing.T) {
	Run(t, Harness{New: func(T) Env { return bare{reference.New()} }, Want: everything, LeaseTTL: 300 * time.Millisecond})
}

func TestACorrectBackendWithALimitPasses(t *testing.T) {
	want := everything
	want.MaxSize = 65_536
	Run(t, Harness{Want: want, New: func(T) Env {
		store := reference.New()
		store.MaxSize = want.MaxSize
		return full{store}
	}})
}

package memory_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			b, err := memory.New(memory.Options{})
			if err != nil {
				t.Fatalf("%v", err)
			}
			return process{b}
		},
		Want: conformance.Capabilities{
			CAS:          conformance.CASEnforced,
			Coordinates:  true,
			Lease:        true,
			LeaseExpires: true,
			Watch:        true,
			List:         true,
			Ping:         true,
		},
	})
}

// process is a store that lives in one Backend: every handle is that one.
type process struct{ backend *memory.Backend }

func (p process) Open(conformance.T) core.TokenBackend { return p.backend }

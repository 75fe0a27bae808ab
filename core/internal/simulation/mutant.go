package simulation

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// mutant breaks a promise on which core relies, or removes a precaution of core. The simulation
// must notice each of them; otherwise it would prove nothing.
type mutant struct {
	IgnoresVersions     bool // the store saves whatever the version
	LosesSaves          bool // the store says that it saved, and did not, one time in ten
	LoadsTheLast        bool // the store answers loads with what was stored before, one time in ten
	KeepsDeleted        bool // the store says that it deleted, and did not
	NeverRecovers       bool // the store and the provider go on failing
	GrantsTwice         bool // the store leases to everybody who asks
	NeverExpires        bool // the store keeps the leases of dead processes
	Uncoordinated       bool // each process refreshes by itself
	SendsWithoutLease   bool // the refresh function doesn't ask Refresh.LeaseHeld
	KeepsCallersContext bool // the request to the provider ends with its caller
	ForgetsUnsaved      bool // the process forgets what could not be saved
	RefreshesEarly      bool // the process refreshes long before the window that was set
	StopsItsClock       bool // the process's clock stands still
}

// forgetter is an Observer that gives the process a new store as soon as tokens are unsaved.
type forgetter struct{ process *process }

func (f forgetter) Observe(_ context.Context, e core.Event) {
	if e.Name == core.EventUnsaved {
		f.process.open()
	}
}

package conformance

import "fmt"

// CASLevel is what a backend makes of the versions Save is given.
type CASLevel uint8

const (
	// CASNone: versions are not compared; the last writer wins.
	CASNone CASLevel = iota
	// CASDetects: a version that is no longer stored is refused, but the
	// comparison and the write are two steps, and a writer between them is
	// not seen. A digest or a date in a store without conditional writes.
	CASDetects
	// CASEnforced: the store compares and writes in one step.
	CASEnforced
)

var casNames = [...]string{"none", "detects", "enforced"}

func (l CASLevel) String() string {
	if int(l) < len(casNames) {
		return casNames[l]
	}
	return fmt.Sprintf("CASLevel(%d)", uint8(l))
}

// MarshalText writes "none", "detects" or "enforced".
func (l CASLevel) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *CASLevel) UnmarshalText(text []byte) error {
	for i, name := range casNames {
		if name == string(text) {
			*l = CASLevel(i)
			return nil
		}
	}
	return fmt.Errorf("conformance: %q is no level of compare-and-swap", text)
}

// Capabilities are what a backend claims. Everything is checked both ways,
// with one exception: that CASDetects is all a store can do can't be seen from
// outside, so claiming it where CASEnforced would hold passes.
type Capabilities struct {
	// CAS is what Save makes of versions.
	CAS CASLevel `json:"cas"`
	// Coordinates: ShouldRefresh has refreshes done once, as core.Coordinate
	// does, instead of always answering RefreshNow.
	Coordinates bool `json:"coordinates"`
	// Lease: the backend is a core.Leaser.
	Lease bool `json:"lease"`
	// LeaseExpires: a lease nobody renews falls free after its ttl.
	LeaseExpires bool `json:"lease_expires"`
	// Watch: the backend is a core.Watcher.
	Watch bool `json:"watch"`
	// List: the backend is a core.Lister.
	List bool `json:"list"`
	// Ping: the backend is a core.Pinger.
	Ping bool `json:"ping"`
	// MaxSize is what a core.SizeLimiter answers; 0 claims no limit.
	MaxSize int `json:"max_size"`
}

package conformance

import "fmt"

// CASLevel tells how a backend treats the version of a Save.
type CASLevel uint8

const (
	// CASNone: versions are not compared; the last writer wins.
	CASNone CASLevel = iota
	// CASDetects: a version that is no longer stored is refused. But the comparison and
	// the write are two steps, and a writer between them isn't noticed. A digest or a
	// date in a store without conditional writes is of this kind.
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
	return fmt.Errorf("conformance: %q isn't a level of compare-and-swap", text)
}

// Capabilities are the claims of a backend. Each is checked in both directions, with one
// exception: nobody can see from outside that a store can do no more than CASDetects, so
// a backend that claims it passes even if CASEnforced would hold.
type Capabilities struct {
	// CAS tells how Save treats versions.
	CAS CASLevel `json:"cas"`
	// Coordinates: ShouldRefresh makes sure that a refresh happens once, as
	// core.Coordinate does, instead of always answering RefreshNow.
	Coordinates bool `json:"coordinates"`
	// Lease: the backend is a core.Leaser.
	Lease bool `json:"lease"`
	// LeaseExpires: a lease that nobody renews becomes free after its ttl.
	LeaseExpires bool `json:"lease_expires"`
	// Watch: the backend is a core.Watcher.
	Watch bool `json:"watch"`
	// List: the backend is a core.Lister.
	List bool `json:"list"`
	// Ping: the backend is a core.Pinger.
	Ping bool `json:"ping"`
	// MaxSize is the result of core.SizeLimiter; 0 claims no limit.
	MaxSize int `json:"max_size"`
}

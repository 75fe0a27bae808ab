package env

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// place is one set of variables with what its users in this process share.
type place struct {
	medium
	leases backend.LocalLeases // by name

	mu    sync.Mutex        // held from comparing versions to writing
	saves map[string]uint64 // by name, since the process began
}

// medium is where variables are.
type medium interface {
	naming(native bool) naming // native: the names for Options.NativeNames
	begins(prefix string) bool // whether a name can begin so
	holds(value string) bool   // whether the value can be stored unchanged
	lookup(name string) (value string, ok bool, err error)
	set(name, value string) error
	unset(name string) error
	names() ([]string, error)
	ping(readOnly bool) error
	probe(name string) error // tells whether set would succeed
}

func newPlace(m medium) *place { return &place{medium: m, saves: make(map[string]uint64)} }

var process = newPlace(variables{})

var files sync.Map // a *place for each absolute path

// fileAt is the place of the dotenv file at path, always the same one.
func fileAt(path string) *place {
	at, _ := files.LoadOrStore(path, newPlace(dotenv{path}))
	return at.(*place)
}

// current returns what is stored under name, and its version. The caller holds mu.
func (p *place) current(name string) (value string, version core.Version, err error) {
	value, ok, err := p.lookup(name)
	switch {
	case err != nil:
		return "", "", err
	case !ok:
		return "", core.Absent, nil
	}
	return value, versionOf(value, p.saves[name]), nil
}

// versionOf makes the version of a value. The digest changes with what other processes write,
// and the count of saves with each save of the same data.
func versionOf(value string, saves uint64) core.Version {
	sum := sha256.Sum256([]byte(value))
	return core.Version(fmt.Sprintf("%x-%d", sum[:16], saves))
}

// variables are the variables of the process.
type variables struct{}

func (variables) begins(prefix string) bool { return !strings.ContainsAny(prefix, "=\x00") }

func (variables) holds(string) bool { return true }

func (variables) lookup(name string) (string, bool, error) {
	value, ok := os.LookupEnv(name)
	return value, ok, nil
}

func (variables) set(name, value string) error { return os.Setenv(name, value) }

func (variables) unset(name string) error { return os.Unsetenv(name) }

func (variables) names() ([]string, error) {
	var names []string
	for _, variable := range os.Environ() {
		// Windows keeps directories under names that begin with "=".
		if name, _, _ := strings.Cut(variable, "="); name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

func (variables) ping(bool) error { return nil }

func (variables) probe(string) error { return nil }

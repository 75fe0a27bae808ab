package bitwarden_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
)

var claims = conformance.Capabilities{CAS: conformance.CASDetects, List: true, Ping: true, MaxSize: 25_000}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New:  func(t conformance.T) conformance.Env { return newStore(t, "") },
		Want: claims,
	})
}

// In one process, whose parts share a Backend, versions are enforced. This one
// has a prefix.
func TestConformanceOfOneProcess(t *testing.T) {
	want := claims
	want.CAS = conformance.CASEnforced
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			s := newStore(t, "tokens/%é*")
			return process{s, s.Open(t)}
		},
		Want: want,
	})
}

func TestConformanceWithNativeNames(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			return nativeStore{store{bitwardentest.Records{Server: bitwardentest.Start(t, bitwardentest.Options{}), Prefix: "tokens of %é* "}}}
		},
		Want: claims,
	})
}

// nativeStore is a store whose every secret is a record.
type nativeStore struct{ store }

func (s nativeStore) Open(t conformance.T) core.TokenBackend { return s.open(t, true) }

type process struct {
	store
	backend core.TokenBackend
}

func (p process) Open(conformance.T) core.TokenBackend { return p.backend }

// store is a server of its own.
type store struct{ bitwardentest.Records }

// newStore has secrets that aren't ours: in another project, and of names that
// no key has.
func newStore(t conformance.T, prefix string) store {
	s := store{bitwardentest.Records{Server: bitwardentest.Start(t, bitwardentest.Options{}), Prefix: prefix}}
	elsewhere := s.NewProject("elsewhere")
	for _, key := range []string{"o365_token.txt", "token", "user-0"} {
		s.Add(bitwardentest.Secret{Key: prefix + key, Value: "theirs", Project: elsewhere})
	}
	for _, name := range []string{"%", "%4a", "o365 token", "TOKEN@", prefix + "%", prefix + "a b"} {
		s.Add(bitwardentest.Secret{Key: name, Value: "theirs"})
	}
	return s
}

func (s store) Open(t conformance.T) core.TokenBackend { return s.open(t, false) }

func (s store) open(t conformance.T, nativeNames bool) core.TokenBackend {
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	secrets, err := bitwarden.Login(t.Context(), s.AccessToken(), bitwarden.LoginOptions{
		APIURL: s.APIURL(), IdentityURL: s.IdentityURL(), HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	b, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: s.Project(), Prefix: s.Prefix, NativeNames: nativeNames})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

// gated is a leaser elsewhere whose answers pass a gate.
type gated struct {
	*backend.LocalLeases
	*lateanswer.Gate
}

func (g gated) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	lease, err := g.LocalLeases.Acquire(ctx, key, ttl)
	if late := g.Pass(ctx); late != nil {
		return nil, late
	}
	return lease, err
}

// Bitwarden has no leases: they are another store's.
func TestACallerWhoLeavesLeavesNoLease(t *testing.T) {
	b := newStore(t, "").Open(t)
	elsewhere := gated{new(backend.LocalLeases), lateanswer.NewGate()}
	held, ok := core.As[core.Leaser](core.WithLeaser(b, elsewhere))
	if !ok {
		t.Fatal("a backend with leases elsewhere has none")
	}
	lateanswer.NoLeaseStays(t, held, elsewhere.LocalLeases, elsewhere.Gate, nil)
}

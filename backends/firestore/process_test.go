//go:build unix

package firestore_test

import (
	"context"
	"os"
	"testing"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/crew"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

func init() {
	beWorker = func() {
		crew.Work(func(addr string) (core.TokenBackend, error) {
			client, err := firestoretest.Connect(context.Background(), addr, "")
			if err != nil {
				return nil, err
			}
			return firestore.New(client, "workers", firestore.Options{})
		})
	}
}

// GRAPHTOKEN_OUTAGES=1 adds a store that goes away and comes back. That takes a
// minute: the client repeats what it can't reach for as long as it is let.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	t.Run("double", func(t *testing.T) {
		t.Parallel()
		server := firestoretest.Double(t)
		s := crew.Store{Where: server.Addr}
		if os.Getenv("GRAPHTOKEN_OUTAGES") != "" {
			s.Stop, s.Restart = func(t *testing.T) { server.Stop(t) }, func(t *testing.T) { server.Start(t) }
		}
		crew.Run(t, s)
	})
	t.Run("emulator", func(t *testing.T) {
		t.Parallel()
		crew.Run(t, crew.Store{Where: emulator.Emulator(t).Addr})
	})
}

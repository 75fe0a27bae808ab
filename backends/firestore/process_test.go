//go:build unix

package firestore_test

import (
	"context"
	"os"
	"testing"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/processes"
)

func init() {
	beWorker = func() {
		processes.Work(func(addr string) (core.TokenBackend, error) {
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
		s := processes.Store{Where: server.Addr}
		if os.Getenv("GRAPHTOKEN_OUTAGES") != "" {
			s.Stop, s.Restart = func(t *testing.T) { server.Stop(t) }, func(t *testing.T) { server.Start(t) }
		}
		processes.Run(t, s)
	})
	t.Run("emulator", func(t *testing.T) {
		t.Parallel()
		processes.Run(t, processes.Store{Where: emulator.Get(t).Addr})
	})
}

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

func TestMain(m *testing.M) {
	crew.Work(func(addr string) (core.TokenBackend, error) {
		client, err := firestoretest.Connect(context.Background(), addr, "")
		if err != nil {
			return nil, err
		}
		return firestore.New(client, "workers", firestore.Options{})
	})
	code := m.Run()
	emulator.Stop()
	os.Exit(code)
}

func TestManyProcesses(t *testing.T) {
	t.Run("double", func(t *testing.T) {
		server := firestoretest.Double(t)
		crew.Run(t, crew.Store{
			Where:   server.Addr,
			Stop:    func(t *testing.T) { server.Stop(t) },
			Restart: func(t *testing.T) { server.Start(t) },
		})
	})
	t.Run("emulator", func(t *testing.T) { // it forgets everything when it stops
		crew.Run(t, crew.Store{Where: emulator.Emulator(t).Addr})
	})
}

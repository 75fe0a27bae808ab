//go:build unix

package leases_test

import (
	"context"
	"net/http"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/processes"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

func TestMain(m *testing.M) {
	processes.Work(func(w where) (core.TokenBackend, error) {
		return open(context.Background(), w, new(http.Transport), goredis.NewClient(&goredis.Options{Addr: w.Redis}))
	})
	os.Exit(m.Run())
}

func TestManyProcesses(t *testing.T) {
	server := bitwardentest.Start(t, bitwardentest.Options{})
	leases := redistest.Start(t)
	processes.Run(t, processes.Store{Where: placed(server, leases)})
	requests := server.Counts()
	t.Logf("requests to Bitwarden: %v", requests)
	// In a short run 24 processes ask for a token 53 times. Those who wait are woken
	// by Redis; did they poll instead, they would read 400 times and more.
	short := os.Getenv("GRAPHTOKEN_WORKERS") == "" && os.Getenv("GRAPHTOKEN_EXPIRIES") == ""
	if reads := requests[bitwardentest.Get]; short && reads > 300 {
		t.Errorf("Bitwarden was read %d times", reads)
	}
}

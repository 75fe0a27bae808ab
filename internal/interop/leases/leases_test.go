// Package leases_test has records in a store without leases, Bitwarden, and
// leases in another, Redis: what core.WithLeaser is for.
package leases_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// where is how both stores are reached.
type where struct {
	APIURL, IdentityURL, AccessToken, Project string
	Redis, Prefix                             string
}

func placed(server *bitwardentest.Server, leases *redistest.Server) where {
	return where{
		APIURL: server.APIURL(), IdentityURL: server.IdentityURL(), AccessToken: server.AccessToken(), Project: server.Project(),
		Redis: leases.Addr, Prefix: rand.Text() + ":",
	}
}

// open returns a backend over both; it is used until its process or test ends.
func open(ctx context.Context, w where, transport *http.Transport, client *goredis.Client) (core.TokenBackend, error) {
	secrets, err := bitwarden.Login(ctx, w.AccessToken, bitwarden.LoginOptions{
		APIURL: w.APIURL, IdentityURL: w.IdentityURL, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		return nil, err
	}
	records, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: w.Project})
	if err != nil {
		return nil, err
	}
	leases, err := redis.New(client, redis.Options{Prefix: w.Prefix})
	if err != nil {
		return nil, err
	}
	return core.WithLeaser(records, leases), nil
}

func TestConformance(t *testing.T) {
	leases := redistest.Start(t)
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			server := bitwardentest.Start(t, bitwardentest.Options{})
			return store{server, placed(server, leases)}
		},
		Want: conformance.Capabilities{
			CAS: conformance.CASDetects, Coordinates: true, Lease: true, LeaseExpires: true, List: true, Ping: true, MaxSize: 25_000,
		},
	})
}

type store struct {
	server *bitwardentest.Server
	where  where
}

func (s store) Open(t conformance.T) core.TokenBackend {
	transport, client := new(http.Transport), goredis.NewClient(&goredis.Options{Addr: s.where.Redis})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		client.Close()
	})
	b, err := open(t.Context(), s.where, transport, client)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s store) Fail(n int) { s.server.Fail(n) }

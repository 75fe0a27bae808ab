// Package testkit has what the packages below it share: the interface [TB], programs
// that end with their test ([Start]), ports for them ([FreePort]), and bounded waits
// ([Poll], [Until]).
//
//	port := testkit.FreePort(t)
//	server := testkit.Start(t, exec.Command("redis-server", "--port", strconv.Itoa(port)), os.Kill)
//	server.Await(t, func() error { … })
package testkit

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// TB has the methods that testkit needs of a test. A *testing.T, a *testing.B and a
// conformance.T implement it. A function that needs a program that may be missing on a
// machine takes a testing.TB instead, because it may skip the test.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Cleanup(func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Patience is how long anything here is waited for. All of it takes a few seconds on an
// idle machine.
const Patience = time.Minute

// Poll calls f until it returns nil. After [Patience], or when ctx ends, it returns f's
// last error.
func Poll(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Retry is [Poll] for a test, which fails if f doesn't succeed. what says what f does.
func Retry(t TB, what string, f func() error) {
	t.Helper()
	if err := Poll(t.Context(), f); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Until waits for a condition, and fails the test if it isn't met. what names it.
func Until(t TB, what string, met func() bool) {
	t.Helper()
	Retry(t, what, func() error {
		if met() {
			return nil
		}
		return errors.New("not yet")
	})
}

// FreePort returns a port of 127.0.0.1 that is free, as is the one 10,000 above, which
// the node of a Redis Cluster takes for its bus. Both lie below those that the system
// gives to connections, so that a server finds its port free again after a restart.
func FreePort(t TB) int {
	t.Helper()
	const lowest, above = 11_000, 10_000
	for range 100 {
		port := lowest + rand.IntN(above)
		if free(port) && free(port+above) {
			return port
		}
	}
	t.Fatalf("testkit: no two ports are free that are %d apart", above)
	return 0
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

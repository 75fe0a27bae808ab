// Package redistest runs real Redis servers for a test: one alone, a Cluster of
// three masters with a replica each, or a master with replicas under Sentinels.
//
//	server := redistest.Start(t)
//	client := redis.NewClient(&redis.Options{Addr: server.Addr})
//
// Everything listens on free ports of 127.0.0.1, keeps its data in a temporary
// directory, and is stopped by its process when the test ends. Where
// redis-server isn't installed the test is skipped loudly, see package peer;
// scripts/servers-redis installs it.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Server is one redis-server.
type Server struct {
	Addr string

	process *testkit.Process
}

// Start runs one server. Its data survive Stop: every write is in a file
// before it is answered. More of the server's configuration can be given as on
// its command line: "--maxmemory-policy", "allkeys-lru".
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	require(t)
	return start(t, "redis-server", nil, append([]string{"--appendonly", "yes", "--appendfsync", "always"}, options...)...)
}

// Stop ends the server in order, and keeps its data.
func (s *Server) Stop(t testkit.TB) { s.process.End(t, syscall.SIGTERM) }

// Kill ends the server as a crash does.
func (s *Server) Kill(t testkit.TB) { s.process.End(t, syscall.SIGKILL) }

// Restart starts a server that was stopped, on its port and with its data.
func (s *Server) Restart(t testkit.TB) {
	t.Helper()
	s.process.Restart(t)
	s.process.Await(t, s.answers)
}

// CLI runs redis-cli against the server, and returns what it printed.
func (s *Server) CLI(t testkit.TB, args ...string) string {
	t.Helper()
	out, err := s.cli(args...)
	if err != nil {
		t.Fatalf("redistest: redis-cli %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (s *Server) cli(args ...string) (string, error) {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-e", "-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// start runs program with a configuration file of its own, which Sentinel needs
// and writes to.
func start(t testkit.TB, program string, config []string, args ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	port := strconv.Itoa(testkit.FreePort(t))
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", port)}
	args = append([]string{conf, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, args...)
	// In order a master would wait for its replicas, which end too.
	s.process = testkit.Start(t, exec.Command(program, args...), syscall.SIGKILL)
	s.process.Await(t, s.answers)
	return s
}

func (s *Server) answers() error {
	out, err := s.cli("ping")
	if err == nil && out != "PONG" {
		err = fmt.Errorf("PING is answered %q", out)
	}
	return err
}

func require(t testing.TB) {
	t.Helper()
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			peer.Missing(t, "redis", "install it, on Debian by `scripts/servers-redis`: "+err.Error())
		}
	}
}

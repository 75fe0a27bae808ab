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
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// TB is what this package needs of a *testing.T or *testing.B.
type TB interface {
	peer.TB
	Context() context.Context
	Cleanup(func())
	Logf(format string, args ...any)
}

// patience is for what takes a second on an idle machine.
const patience = 60 * time.Second

// Server is one redis-server.
type Server struct {
	Addr string

	dir     string
	program string
	args    []string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start runs one server. Its data survive Stop: every write is in a file
// before it is answered. More of the server's configuration can be given as on
// its command line: "--maxmemory-policy", "allkeys-lru".
func Start(t TB, options ...string) *Server {
	t.Helper()
	require(t)
	return start(t, "redis-server", nil, append([]string{"--appendonly", "yes", "--appendfsync", "always"}, options...)...)
}

// Stop ends the server and keeps its data; Kill does so as a crash does. The
// test goes on when the process is gone.
func (s *Server) Stop(t TB) { s.end(t, syscall.SIGTERM) }

// Kill ends the server without giving it time for anything.
func (s *Server) Kill(t TB) { s.end(t, syscall.SIGKILL) }

func (s *Server) end(t TB, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("redistest: %s %s: %v", s.program, s.Addr, err)
	}
	<-s.exited
}

// Restart starts a server that was stopped, on its port and with its data.
func (s *Server) Restart(t TB) {
	t.Helper()
	s.run(t)
}

// CLI runs redis-cli against the server, and returns what it printed.
func (s *Server) CLI(t TB, args ...string) string {
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-e", "-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// start runs program with a configuration file of its own, which Sentinel needs
// and writes to.
func start(t TB, program string, config []string, args ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := freePort(t)
	conf := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s := &Server{
		Addr:    net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		dir:     dir,
		program: program,
		args:    append([]string{conf, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, args...),
	}
	s.run(t)
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.exited
	})
	return s
}

// run starts the process and waits until it answers.
func (s *Server) run(t TB) {
	t.Helper()
	var log bytes.Buffer
	cmd, exited := exec.Command(s.program, s.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("redistest: %s: %v", s.program, err)
	}
	s.cmd, s.exited = cmd, exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	until(t, s.program+" "+s.Addr, func() error {
		select {
		case <-exited:
			t.Fatalf("redistest: %s ended: %s", s.program, log.String())
		default:
		}
		out, err := s.cli("ping")
		if err == nil && out != "PONG" {
			err = fmt.Errorf("PING is answered %q", out)
		}
		return err
	})
}

func require(t TB) {
	t.Helper()
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			peer.Missing(t, "redis", "install it, on Debian by `scripts/servers-redis`: "+err.Error())
		}
	}
}

// until tries f until it succeeds.
func until(t TB, what string, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("redistest: %s: %v", what, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// freePort finds a port that is free, as is the one 10,000 above it, which a
// Cluster's node takes for its bus.
func freePort(t TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("redistest: %v", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port > 55_535 {
			continue
		}
		bus, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10_000)))
		if err != nil {
			continue
		}
		bus.Close()
		return port
	}
	t.Fatalf("redistest: no two ports are free that are 10,000 apart")
	return 0
}

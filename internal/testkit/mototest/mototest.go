// Package mototest runs moto's server, an imitation of AWS, for a test.
//
//	server := mototest.Start(t)
//	client := s3.New(s3.Options{BaseEndpoint: aws.String(server.URL), UsePathStyle: true, …})
//
// It takes a free port of 127.0.0.1, any credentials and any region, keeps
// everything in memory, and ends with its test, or with the test's process,
// however that ends. It runs in the Python that GRAPHTOKEN_PYTHON names; where
// that or its moto is missing the test says so, see [peer.Missing].
package mototest

import (
	"bufio"
	"context"
	_ "embed"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// TB is what this package needs of a *testing.T or *testing.B.
type TB interface {
	peer.TB
	Context() context.Context
	Cleanup(func())
}

// Server is one moto server, with accounts of its own.
type Server struct {
	URL string // to use as every service's endpoint
}

// patience is for what takes two seconds on an idle machine.
const patience = time.Minute

//go:embed serve.py
var serve string

// noMoto is serve.py's exit status when moto can't be imported.
const noMoto = 3

var running = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

// Start runs a server, and returns when it answers.
func Start(t TB) *Server {
	t.Helper()
	python := peer.Python(t)
	cmd := exec.Command(python, "-c", serve)
	// Its standard input, which stays open as long as this process lives, is
	// what it lives by.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("mototest: %v", err)
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatalf("mototest: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("mototest: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// A server that hangs is ended, and so is its log.
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer hung.Stop()

	var said []string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if at := running.FindStringSubmatch(lines.Text()); at != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }() // one line for each request
			return &Server{URL: at[1]}
		}
		said = append(said, lines.Text())
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() == noMoto {
		peer.Missing(t, "python", "moto is not installed in "+python+": run `internal/testkit/python-peers.sh .cache/venv`")
		return nil
	}
	t.Fatalf("mototest: %v:\n%s", cmd.ProcessState, strings.Join(said, "\n"))
	return nil
}

// Reset makes the server forget everything.
func (s *Server) Reset(t TB) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/moto-api/reset", nil)
	if err != nil {
		t.Fatalf("mototest: %v", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("mototest: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("mototest: reset: %s", resp.Status)
	}
}

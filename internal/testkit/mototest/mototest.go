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
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Server is one moto server, with accounts of its own.
type Server struct {
	URL string // to use as every service's endpoint
}

// Start runs a server, and returns when it answers.
func Start(t testing.TB) *Server {
	t.Helper()
	python := peer.Python(t)
	if exec.Command(python, "-c", "import moto.server").Run() != nil {
		peer.Missing(t, "python", "moto is not installed in "+python+": run `internal/testkit/python-peers.sh .cache/venv`")
	}
	port := strconv.Itoa(testkit.FreePort(t))
	s := &Server{URL: "http://127.0.0.1:" + port}
	process := testkit.Start(t, exec.Command(python, "-m", "moto.server", "-H", "127.0.0.1", "-p", port), os.Kill)
	process.Await(t, func() error {
		answer, err := http.Get(s.URL + "/moto-api/data.json")
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	})
	return s
}

// Reset makes the server forget everything.
func (s *Server) Reset(t testing.TB) {
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

package s3test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Gateway is a versitygw of its own.
type Gateway struct {
	URL string

	program string
	process *testkit.Process
}

// program is what scripts/servers-s3 builds, below the directory of go.work.
const program = ".cache/bin/versitygw-v1.8.0"

// Versitygw runs a gateway on a free port of 127.0.0.1 over a temporary directory, where
// buckets can keep versions. It ends with the test. Where it isn't built the test says so,
// see [peer.Missing].
func Versitygw(t testing.TB) *Gateway {
	t.Helper()
	path, ok := find(program)
	if !ok {
		peer.Missing(t, "versitygw", "build it with scripts/servers-s3")
		return nil
	}
	dir, err := os.MkdirTemp("", "s3test")
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	accounts, objects, versions := filepath.Join(dir, "accounts"), filepath.Join(dir, "objects"), filepath.Join(dir, "versions")
	if err := errors.Join(os.Mkdir(accounts, 0o700), os.Mkdir(objects, 0o700), os.Mkdir(versions, 0o700)); err != nil {
		t.Fatalf("s3test: %v", err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(testkit.FreePort(t)))
	g := &Gateway{URL: "http://" + addr, program: path}
	g.process = testkit.Start(t, exec.Command(path, "-q", "-a", AccessKey, "-s", SecretKey, "-r", Region, "-p", addr,
		"--iam-dir", accounts, "posix", "--versioning-dir", versions, objects), os.Kill)
	g.process.Await(t, g.answers)
	return g
}

func (g *Gateway) answers() error {
	answer, err := http.Get(g.URL)
	if err == nil {
		err = answer.Body.Close()
	}
	return err
}

// Stop ends the gateway at once, and keeps what it holds.
func (g *Gateway) Stop(t testkit.TB) {
	t.Helper()
	g.process.End(t, os.Kill)
}

// Restart starts a gateway that was stopped, at its address and with all it
// held, and returns when it answers.
func (g *Gateway) Restart(t testkit.TB) {
	t.Helper()
	g.process.Restart(t)
	g.process.Await(t, g.answers)
}

// AddAccount adds one more, which may do what the policies of buckets say.
func (g *Gateway) AddAccount(t testkit.TB, accessKey, secretKey string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), g.program, "admin", "-a", AccessKey, "-s", SecretKey, "-r", Region, "--er", g.URL,
		"create-user", "-a", accessKey, "-s", secretKey, "-r", "user").CombinedOutput()
	if err != nil {
		t.Fatalf("s3test: %v: %s", err, out)
	}
}

// find looks for a file from the nearest directory upwards that has a go.work.
func find(name string) (path string, ok bool) {
	dir, err := os.Getwd()
	for err == nil {
		if _, none := os.Stat(filepath.Join(dir, "go.work")); none == nil {
			path = filepath.Join(dir, filepath.FromSlash(name))
			_, none = os.Stat(path)
			return path, none == nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return "", false
}

package s3test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Gateway is a versitygw of its own.
type Gateway struct {
	URL string

	program string
	args    []string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// program is what scripts/servers-s3 builds, below the directory of go.work.
const program = ".cache/bin/versitygw-v1.8.0"

// patience is for what takes a fraction of a second on an idle machine.
const patience = time.Minute

// Versitygw runs a gateway on a free port of 127.0.0.1 over a temporary
// directory, where buckets can keep versions. It ends with the test. Where it isn't built the test says so, see
// [peer.Missing].
func Versitygw(t interface {
	TB
	peer.TB
}) *Gateway {
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
	addr := freeAddr(t)
	g := &Gateway{
		URL:     "http://" + addr,
		program: path,
		args:    []string{"-q", "-a", AccessKey, "-s", SecretKey, "-r", Region, "-p", addr, "--iam-dir", accounts, "posix", "--versioning-dir", versions, objects},
	}
	g.Restart(t)
	t.Cleanup(func() { g.Stop(t) })
	return g
}

// Stop ends the gateway at once, and keeps what it holds.
func (g *Gateway) Stop(TB) {
	_ = g.cmd.Process.Kill()
	<-g.exited
}

// Restart starts a gateway that was stopped, at its address and with all it
// held, and returns when it answers.
func (g *Gateway) Restart(t TB) {
	t.Helper()
	var log bytes.Buffer
	cmd, exited := exec.Command(g.program, g.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("s3test: %v", err)
	}
	g.cmd, g.exited = cmd, exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	for deadline := time.Now().Add(patience); ; {
		answer, err := http.Get(g.URL)
		if err == nil {
			_ = answer.Body.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("s3test: versitygw ended: %s", &log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("s3test: versitygw doesn't answer: %v", err)
		}
	}
}

// AddAccount adds one more, which may do what the policies of buckets say.
func (g *Gateway) AddAccount(t TB, accessKey, secretKey string) {
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

func freeAddr(t TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

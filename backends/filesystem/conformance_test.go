package filesystem

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"file locks":           {},
		"prefix, native names": {Prefix: "team.", NativeNames: true},
		"no file locks":        {NoFileLocks: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, conformance.Harness{
				New: func(t conformance.T) conformance.Env {
					return &env{dir: filepath.Join(directory(t), "tokens"), options: o}
				},
				Want: conformance.Capabilities{
					CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true,
				},
			})
		})
	}
}

// directory is t.TempDir for calls whose context ended: one that goes on in the background
// may make a file while the directory is removed.
func directory(t conformance.T) string {
	dir, err := os.MkdirTemp("", "graphtoken-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		remove := func() error { return os.RemoveAll(dir) }
		if err := testkit.Poll(context.WithoutCancel(t.Context()), remove); err != nil {
			t.Errorf("%v", err)
		}
	})
	return dir
}

// env is a directory that doesn't exist before something is saved.
type env struct {
	dir     string
	options Options

	mu    sync.Mutex
	ahead time.Duration // of the real clock
}

func (e *env) Open(t conformance.T) core.TokenBackend {
	b, err := New(e.dir, e.options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	b.now = func() time.Time {
		e.mu.Lock()
		defer e.mu.Unlock()
		return time.Now().Add(e.ahead)
	}
	return b
}

func (e *env) Advance(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ahead += d
}

func (e *env) Raw(key string) ([]byte, error) {
	data, err := os.ReadFile(e.path(key))
	if os.IsNotExist(err) {
		return nil, nil
	}
	return data, err
}

// Corrupt leaves the file as a program does that truncates before it writes,
// and is killed in between.
func (e *env) Corrupt(key string) error { return os.Truncate(e.path(key), 0) }

// Fail takes the directory away, and leaves something else in its place. That
// lasts until Fail(0), whatever n is.
func (e *env) Fail(n int) error {
	aside := e.dir + ".aside"
	_, err := os.Lstat(aside)
	failing := err == nil
	switch {
	case failing == (n != 0):
		return nil
	case failing:
		if err := exchange(e.dir, aside); err != nil {
			return err
		}
		return os.Remove(aside)
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(aside, nil, 0o600); err != nil {
		return err
	}
	return exchange(e.dir, aside)
}

func (e *env) path(key string) string {
	b, err := New(e.dir, e.options)
	if err != nil {
		return ""
	}
	return filepath.Join(e.dir, b.fileName(key))
}

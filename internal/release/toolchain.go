package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// A toolchain runs the go command as on a machine that has none of this
// repository's modules, and gets them as the release publishes them.
type toolchain struct{ env []string }

// newToolchain has a module cache of its own below dir, empty at first. Other
// people's modules come from the downloads that this machine has, or else from
// where it gets modules ordinarily.
func newToolchain(ctx context.Context, r *release, dir string) (*toolchain, error) {
	said, err := output(ctx, command{}, "go", "env", "-json", "GOPROXY", "GOMODCACHE", "GOSUMDB", "GOCACHE")
	if err != nil {
		return nil, err
	}
	var host struct{ GOPROXY, GOMODCACHE, GOSUMDB, GOCACHE string }
	if err := json.Unmarshal([]byte(said), &host); err != nil {
		return nil, err
	}
	downloads := filepath.Join(host.GOMODCACHE, "cache", "download")
	return &toolchain{env: []string{
		"GOWORK=off",
		"GOMODCACHE=" + moduleCache(dir),
		"GOPROXY=file://" + filepath.ToSlash(r.proxy) + ",file://" + filepath.ToSlash(downloads) + "," + host.GOPROXY,
		"GOSUMDB=" + host.GOSUMDB,
		"GOCACHE=" + host.GOCACHE,
		// Settings of `go env -w` don't count. GONOPROXY has to be empty: otherwise the
		// go command looks into its module cache first, and takes a module that it finds
		// there for the one that has its nested module's packages.
		"GOENV=off", "GOPRIVATE=", "GONOPROXY=",
		"GONOSUMDB=" + r.table.prefix + "*", // no checksum database knows what isn't published yet
		// Without paths in it, what is built is found again by the next run, in another directory.
		"GOFLAGS=-trimpath -modcacherw",
		"GOTOOLCHAIN=local",
	}}, nil
}

func moduleCache(dir string) string { return filepath.Join(dir, "modcache") }

func (t *toolchain) run(ctx context.Context, dir string, args ...string) (string, error) {
	return output(ctx, command{dir: dir, env: t.env}, "go", args...)
}

// buildsAlone says whether a module builds at the commit of its tag, with
// go.mod and go.sum as they are there.
func (r *release) buildsAlone(ctx context.Context, m *module) error {
	_, err := r.tools.run(ctx, filepath.Join(r.scratch, filepath.FromSlash(m.dir)), "build", "-mod=readonly", "./...")
	return err
}

// A job is something to be done or, if it has a name, to be proven.
type job struct {
	name string
	do   func() error
}

// runAll does the jobs, as many at a time as there are processors, and prints which are
// proven and how long that took.
func runAll(jobs []job) error {
	var (
		mu       sync.Mutex
		problems []error
		group    sync.WaitGroup
		queue    = make(chan job)
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for j := range queue {
				start := time.Now()
				err := j.do()
				mu.Lock()
				if err != nil {
					problems = append(problems, fmt.Errorf("not so: %s: %w", j.name, err))
				} else if j.name != "" {
					fmt.Printf("ok %4.1fs  %s\n", time.Since(start).Seconds(), j.name)
				}
				mu.Unlock()
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	group.Wait()
	return errors.Join(problems...)
}

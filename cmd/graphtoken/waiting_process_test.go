package main_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/filesystem"
)

func TestACommandThatWaitsForAnotherProcessSaysSo(t *testing.T) {
	for _, args := range [][]string{{"token"}, {"refresh"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			signedInAndExpired(w)
			other, err := filesystem.New(filepath.Dir(w.file()), filesystem.Options{})
			if err != nil {
				t.Fatal(err)
			}
			lease, err := other.Acquire(w.ctx, filepath.Base(w.file()), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			p := w.start(args...)
			if line := p.line(t, "another process"); line != "Waiting: another process is refreshing file://"+w.file()+"." {
				t.Errorf("the line is %q", line)
			}
			if err := lease.Release(w.ctx); err != nil {
				t.Fatal(err)
			}
			if r := p.end(w); r.code != 0 || strings.Count(r.err, "Waiting: ") != 1 || strings.Contains(r.out, "Waiting") {
				t.Errorf("exit code %d\n%s", r.code, r.err)
			}
		})
	}
}

package clients

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// proc is a file of a running program: https://man7.org/linux/man-pages/man5/proc.5.html
func (r *program) proc(name string) string { return filepath.Join("/proc", strconv.Itoa(r.pid), name) }

// variable is one of a running program's environment.
func (r *program) variable(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(r.proc("environ"))
	if err != nil {
		t.Fatal(err)
	}
	for variable := range strings.SplitSeq(string(data), "\x00") {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	t.Fatalf("the program has no variable %s", name)
	return ""
}

// holds tells which of the secrets are in a running program's arguments, environment and
// memory.
func (r *program) holds(t *testing.T, secrets ...string) (found map[string]map[string]bool) {
	t.Helper()
	found = map[string]map[string]bool{"memory": {}}
	for _, name := range []string{"cmdline", "environ", "maps"} {
		data, err := os.ReadFile(r.proc(name))
		if err != nil {
			t.Fatal(err)
		}
		found[name] = make(map[string]bool)
		search(found[name], data, secrets)
	}
	memory, err := os.Open(r.proc("mem"))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	maps, err := os.ReadFile(r.proc("maps"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		// Tokens that the program obtained while it ran are in memory that it can write.
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		const part, overlap = 16 << 20, 8 << 10 // no secret is longer than overlap
		for at := from; at < to; at += part {
			data := make([]byte, min(part+overlap, to-at))
			n, err := memory.ReadAt(data, at)
			if n == 0 && err != nil && err != io.EOF {
				break // the program has given this memory back
			}
			search(found["memory"], data[:n], secrets)
		}
	}
	return found
}

func search(found map[string]bool, data []byte, secrets []string) {
	for _, secret := range secrets {
		found[secret] = found[secret] || bytes.Contains(data, []byte(secret))
	}
}

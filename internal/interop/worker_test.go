package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/interop/peers/msalgo"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// TestMain makes this test binary MSAL Go's worker where PEER says so.
func TestMain(m *testing.M) {
	if os.Getenv("PEER") == "" {
		status := m.Run()
		_ = os.RemoveAll(classes.dir) // a temporary directory, or none
		if command.path != "" {
			_ = os.RemoveAll(filepath.Dir(command.path))
		}
		os.Exit(status)
	}
	if err := msalgo.Work(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// library is an MSAL of one language. Its worker is a program below peers, which
// has a cache plugin of its own over the record's file, and answers each
// [msalgo.Command] with one [msalgo.Answer].
type library struct {
	name  string
	keys  tokencache.Library // that this collection's sign-in is to use
	start func(t *testing.T) *exec.Cmd
}

var libraries = []library{
	{"MSAL Go", tokencache.MSALGo, func(t *testing.T) *exec.Cmd {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		return exec.Command(self)
	}},
	{"MSAL Python", tokencache.MSALPython, func(t *testing.T) *exec.Cmd {
		cmd := exec.Command(peer.Python(t), filepath.Join("peers", "python", "worker.py"))
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		return cmd
	}},
	{"MSAL Node", tokencache.MSALNode, func(t *testing.T) *exec.Cmd {
		path := peer.Node(t)
		cmd := exec.Command("node", filepath.Join("peers", "node", "worker.js"))
		cmd.Env = append(os.Environ(), "NODE_PATH="+path)
		return cmd
	}},
	{"MSAL for Java", tokencache.MSALJava, func(t *testing.T) *exec.Cmd {
		path := peer.Java(t)
		classes, err := compiled(path)
		if err != nil {
			t.Fatal(err)
		}
		// The flags make a short-lived Java start sooner.
		return exec.Command("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes+string(os.PathListSeparator)+path, "Worker")
	}},
}

// classes is where Java's worker was compiled to, once for all tests.
var classes struct {
	once sync.Once
	dir  string
	err  error
}

func compiled(path string) (string, error) {
	classes.once.Do(func() {
		classes.dir, classes.err = os.MkdirTemp("", "graphtoken-java-*")
		if classes.err != nil {
			return
		}
		out, err := exec.Command("javac", "-d", classes.dir, "-cp", path, filepath.Join("peers", "java", "Worker.java")).CombinedOutput()
		if err != nil {
			classes.err = fmt.Errorf("javac: %w\n%s", err, out)
		}
	})
	return classes.dir, classes.err
}

// worker is a running program.
type worker struct {
	library
	commands io.WriteCloser
	answers  chan msalgo.Answer
	died     error // once answers is closed
	stderr   *strings.Builder
}

func (l library) work(t *testing.T, p msalgo.Peer) *worker {
	t.Helper()
	cmd := l.start(t)
	told, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "PEER="+string(told))
	w := &worker{library: l, answers: make(chan msalgo.Answer), stderr: new(strings.Builder)}
	cmd.Stderr = w.stderr
	if w.commands, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.answers)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var a msalgo.Answer
			if w.died = json.Unmarshal(lines.Bytes(), &a); w.died != nil {
				break
			}
			w.answers <- a
		}
		w.died = errors.Join(w.died, cmd.Wait())
	}()
	t.Cleanup(func() {
		_ = w.commands.Close() // the worker ends by itself
		for range w.answers {
		}
	})
	return w
}

// ask has the worker do one thing.
func (w *worker) ask(t *testing.T, c msalgo.Command) (msalgo.Answer, error) {
	t.Helper()
	if err := json.NewEncoder(w.commands).Encode(c); err != nil {
		t.Fatalf("%s: %v", w.name, err)
	}
	select {
	case a, ok := <-w.answers:
		if !ok {
			t.Fatalf("%s ended: %v\n%s", w.name, w.died, w.stderr)
		}
		if a.Error != "" {
			return a, fmt.Errorf("%s: %s", w.name, core.Printable(a.Error))
		}
		return a, nil
	case <-time.After(time.Minute):
		t.Fatalf("%s doesn't answer", w.name)
		return msalgo.Answer{}, nil
	}
}

package pairing

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// workerDirectory names, to a process that is a worker, the directory of its record.
const workerDirectory = "GRAPHTOKEN_PAIRING_WORKER"

func TestMain(m *testing.M) {
	if directory := os.Getenv(workerDirectory); directory != "" {
		if err := work(directory); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// work asks for a token for each line of its input, which says by how many hours its
// clock is ahead, and answers with the token.
func work(directory string) error {
	backend, err := filesystem.New(directory, filesystem.Options{})
	if err != nil {
		return err
	}
	cli, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		return err
	}
	ahead := time.Duration(0)
	store := core.NewStore(backend, core.WithClock(func() time.Time { return time.Now().Add(ahead) }))
	source := store.TokenSource("az", tokencache.Query{Scopes: []string{graphDefault}}, azcore.Refresh(cli))
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		hours, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		ahead = time.Duration(hours) * time.Hour
		ctx, cancel := contextOfOneMinute()
		token, err := source.Token(ctx)
		cancel()
		if err != nil {
			return err
		}
		fmt.Println("token", token.Secret.Reveal())
	}
	return lines.Err()
}

// standIn is an az that notes each of its runs in a file, and numbers its tokens.
// Another file says when they expire.
const standIn = `#!/bin/sh
echo run >>"%[1]s/runs"
printf '{"accessToken":"token-%%s","expires_on":%%s}' "$(wc -l <"%[1]s/runs" | tr -d ' ')" "$(cat "%[1]s/expires")"
`

func TestSixtyFourProcessesRunAzureCLIOncePerExpiry(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in az is a shell script")
	}
	const processes, expiries = 64, 3
	bin, records := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("az", fmt.Sprintf(standIn, bin), 0o700)
	var workers []*worker
	for range processes {
		workers = append(workers, hire(t, bin, records))
	}
	// All inputs end before the first worker is waited for: under the race detector each
	// process takes a second to end.
	t.Cleanup(func() {
		for _, w := range workers {
			_ = w.in.Close()
		}
	})
	for _, w := range workers {
		w.want(t, "ready")
	}
	for expiry := range expiries {
		hours := 2 * expiry
		write("expires", strconv.FormatInt(time.Now().Add(time.Duration(hours+1)*time.Hour).Unix(), 10), 0o600)
		for _, w := range workers {
			if _, err := fmt.Fprintln(w.in, hours); err != nil {
				t.Fatal(err)
			}
		}
		for _, w := range workers {
			w.want(t, "token token-"+strconv.Itoa(expiry+1))
		}
		runs, err := os.ReadFile(filepath.Join(bin, "runs"))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(runs), "\n"); n != expiry+1 {
			t.Fatalf("after %d expiries az has run %d times", expiry+1, n)
		}
	}
}

// worker is a process that shares the record.
type worker struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

func hire(t *testing.T, bin, records string) *worker {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerDirectory+"="+records, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // the worker's input ends, if it hasn't yet, and so does the worker
		if err := cmd.Wait(); err != nil {
			t.Errorf("a worker: %v", err)
		}
	})
	return &worker{in, bufio.NewScanner(out)}
}

// want reads the worker's next line.
func (w *worker) want(t *testing.T, line string) {
	t.Helper()
	if !w.out.Scan() {
		t.Fatalf("a worker ended: %v", w.out.Err())
	}
	if got := w.out.Text(); got != line {
		t.Fatalf("a worker says %q, want %q", got, line)
	}
}

// Package machine runs a program in an environment in which every https address leads to
// the imitation of Entra and Graph (package entra). So a test can run the same program as
// the users, without an option for tests.
//
//	func TestMain(m *testing.M) {
//		machine.Become(main)
//		os.Exit(m.Run())
//	}
//
//	p := machine.Start(t, idp, "-client-id", entra.PublicClient)
//	redirect, err := idp.SignIn(p.Await("https://"))
//	…
//	p.Type(redirect + "\n")
//	p.Await("Hello")
//	p.Finish()
//
// The program trusts the imitation's certificates through SSL_CERT_FILE, which Go reads
// only on Linux. On other systems Start skips the test and reports it (see package peer).
package machine

import (
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// variable makes a test's own binary the program.
const variable = "GRAPHTOKEN_TEST_IS_THE_PROGRAM"

// Become makes this process the program whose main function it is given, if Start
// started it, and then ends it. Otherwise it returns at once.
func Become(main func()) {
	if os.Getenv(variable) == "" {
		return
	}
	main()
	os.Exit(0)
}

// Program is a process under way.
type Program struct {
	t       testing.TB
	process *testkit.Process
	stdin   io.WriteCloser
	read    int // of the output
}

// Start runs this test's binary as the program, with the test's environment. The
// program ends with the test at the latest.
func Start(t testing.TB, idp *entra.Server, args ...string) *Program {
	t.Helper()
	if runtime.GOOS != "linux" {
		peer.Wanted(t, "linux", "a program trusts the imitation's certificates by SSL_CERT_FILE on Linux alone")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), append(Environment(t, idp), variable+"=yes")...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &Program{t: t, process: testkit.Start(t, cmd, syscall.SIGKILL), stdin: stdin}
}

// Await returns the next line of what the program writes, to either output, that
// contains text.
func (p *Program) Await(text string) string {
	p.t.Helper()
	var found string
	err := testkit.Poll(p.t.Context(), func() error {
		ended := p.process.Ended() // asked first: what is written before the end is read below
		for {
			line, _, whole := strings.Cut(p.process.Log()[p.read:], "\n")
			switch {
			case whole && strings.Contains(line, text):
				p.read += len(line) + 1
				found = line
				return nil
			case whole:
				p.read += len(line) + 1
			case ended:
				return nil
			default:
				return io.ErrNoProgress
			}
		}
	})
	if err != nil || found == "" {
		p.t.Fatalf("the program shows no line that has %q in it:\n%s", text, p.process.Log())
	}
	return found
}

// Log returns what the program has written so far, to either output.
func (p *Program) Log() string { return p.process.Log() }

// Type writes to the program's standard input.
func (p *Program) Type(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatalf("the program's input: %v\n%s", err, p.process.Log())
	}
}

// Signal sends the program a signal.
func (p *Program) Signal(s os.Signal) { p.process.Signal(p.t, s) }

// Finish waits for the program to end without a failure, and returns what it has
// written that Await has not passed.
func (p *Program) Finish() string {
	p.t.Helper()
	deadline := time.AfterFunc(testkit.Patience, func() { p.process.Signal(p.t, syscall.SIGKILL) })
	defer deadline.Stop()
	_ = p.stdin.Close() // the program may have left already
	if code := p.process.ExitCode(); code != 0 {
		p.t.Fatalf("the program ended with %d:\n%s", code, p.process.Log())
	}
	return p.process.Log()[p.read:]
}

// Environment makes a program's https addresses lead to idp, which it then trusts.
// Addresses of the machine itself stay what they are.
func Environment(t testing.TB, idp *entra.Server) []string {
	t.Helper()
	directory := t.TempDir()
	ca := filepath.Join(directory, "ca.pem")
	if err := idp.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	return []string{"HTTPS_PROXY=" + Proxy(t, idp), "NO_PROXY=", "SSL_CERT_FILE=" + ca, "SSL_CERT_DIR=" + directory}
}

// Proxy starts idp's proxy, and returns its address.
func Proxy(t testing.TB, idp *entra.Server) string {
	t.Helper()
	proxy := httptest.NewServer(idp.Proxy())
	t.Cleanup(proxy.Close)
	return proxy.URL
}

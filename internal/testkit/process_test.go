//go:build unix

package testkit_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// sleeperVariable makes this test binary a test run that starts a program.
const sleeperVariable = "GRAPHTOKEN_TESTKIT_SLEEPER"

func TestAProgramEndsWithATestThatIsKilledOrRunsOutOfTime(t *testing.T) {
	if os.Getenv(sleeperVariable) != "" {
		p := testkit.Start(t, exec.Command("sleep", "1000"), syscall.SIGTERM)
		fmt.Println("started", p.Pid())
		select {}
	}
	for name, c := range map[string]struct {
		flag string
		end  func(*os.Process) error
	}{
		"killed":      {"-test.timeout=1h", (*os.Process).Kill},
		"interrupted": {"-test.timeout=1h", func(p *os.Process) error { return p.Signal(os.Interrupt) }},
		"out of time": {"-test.timeout=1s", func(*os.Process) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			run := exec.Command(os.Args[0], "-test.run=^"+strings.Split(t.Name(), "/")[0]+"$", c.flag)
			run.Env = append(os.Environ(), sleeperVariable+"=1")
			out, err := run.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			process := testkit.Start(t, run, os.Kill)
			pid := 0
			for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
				if after, ok := strings.CutPrefix(lines.Text(), "started "); ok {
					if pid, err = strconv.Atoi(after); err != nil {
						t.Fatal(err)
					}
				}
			}
			if pid == 0 {
				t.Fatalf("no program was started: %s", process.Log())
			}
			if name != "out of time" && !running(pid) {
				t.Fatal("the program doesn't run")
			}
			if err := c.end(run.Process); err != nil {
				t.Fatal(err)
			}
			testkit.Until(t, "the program ends", func() bool { return !running(pid) })
		})
	}
}

// running is false also for a program that ended and that no parent has waited for yet.
func running(pid int) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(string(state), "Z")
}

func TestAProgramThatEndsByItselfIsNotWaitedFor(t *testing.T) {
	p := testkit.Start(t, exec.Command("sh", "-c", "echo why >&2; exit 3"), os.Kill)
	testkit.Until(t, "the program ends", p.Ended)
	if code := p.ExitCode(); code != 3 {
		t.Errorf("the exit code is %d, and should be 3", code)
	}
	if said := p.Log(); said != "why\n" {
		t.Errorf("the program said %q", said)
	}
	p.End(t, os.Interrupt) // the process is gone, and nobody else's is meant
}

func TestAFreePortIsFreeTogetherWithItsBus(t *testing.T) {
	port := testkit.FreePort(t)
	for _, port := range []int{port, port + 10_000} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Errorf("the port isn't free: %v", err)
			continue
		}
		l.Close()
	}
}

func TestPollReturnsTheLastErrorWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := testkit.Poll(ctx, func() error {
		if calls++; calls == 3 {
			cancel()
		}
		return fmt.Errorf("attempt %d", calls)
	})
	if err == nil || err.Error() != "attempt 3" {
		t.Errorf("Poll = %v, want attempt 3's error", err)
	}
}

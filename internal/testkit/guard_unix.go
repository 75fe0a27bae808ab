//go:build unix

package testkit

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// guard is a shell script that gets a process id, and sends that process a signal as
// soon as the script's own input ends. The input ends when the test's process dies, even
// by a timeout or SIGKILL, after which nothing is cleaned up. A terminal sends its signals
// to the guard too, which ignores them so as not to end first.
const guard = `trap '' HUP INT QUIT TERM
read pid && { read end; kill -"$0" "$pid"; }`

// startGuarded starts cmd with a guard. release ends the guard; it is called when the
// process is gone.
func startGuarded(cmd *exec.Cmd, last os.Signal) (release func(), err error) {
	g := exec.Command("sh", "-c", guard, fmt.Sprint(int(last.(syscall.Signal))))
	told, err := g.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := g.Start(); err != nil {
		return nil, err
	}
	release = func() {
		_ = g.Process.Kill()
		_ = g.Wait()
	}
	if err := cmd.Start(); err != nil {
		release()
		return nil, err
	}
	if _, err := io.Copy(told, strings.NewReader(fmt.Sprintln(cmd.Process.Pid))); err != nil {
		release()
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		return nil, err
	}
	return release, nil
}

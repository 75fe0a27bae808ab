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

// guard is a shell script that is told a process id, and sends that process a signal as
// soon as the script's own input ends: by the death of the test's process, which a
// time-out or SIGKILL ends without any cleaning up. What a terminal sends to everybody
// mustn't end the guard first.
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

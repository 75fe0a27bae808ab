package agent

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Another user's process gets nothing, even where the socket's mode lets it in.
func TestAnotherUsersProcessIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can take another user's identity for a moment")
	}
	dir, err := os.MkdirTemp("/tmp", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, path} {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, newAgent(t, Options{}, "ana"), l)
	for uid, admitted := range map[int]bool{0: true, 65534: false} {
		answer := make(chan string, 1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); err != 0 {
				answer <- err.Error()
				return
			}
			answer <- connectAndAsk(path)
		}()
		got := <-answer
		if strings.Contains(got, "access-0") != admitted {
			t.Errorf("user %d got %q", uid, got)
		}
	}
}

// connectAndAsk uses the calling thread alone.
func connectAndAsk(path string) string {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err.Error()
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err.Error()
	}
	request := http.MethodGet + " /token HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
	if _, err := unix.Write(fd, []byte(request)); err != nil {
		return err.Error()
	}
	var all []byte
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			return string(all)
		}
		all = append(all, buf[:n]...)
	}
}

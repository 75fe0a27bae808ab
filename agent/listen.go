package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// MaxSocketPath is how long the path of a Unix socket may be in bytes: that of macOS and the
// BSDs. Linux takes a few more (https://man7.org/linux/man-pages/man7/unix.7.html).
const MaxSocketPath = 103

// ListenUnix makes the agent's socket, which its user alone can open: mode 0600, in a
// directory of mode 0700 that is made if it is missing. A directory of another user, or one
// that others can open, is refused. A socket that an agent left behind is replaced, but not
// one at which an agent listens.
func ListenUnix(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if err := checkDirectory(dir, info); err != nil {
		return nil, err
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	switch {
	case errors.Is(err, syscall.EINVAL) && len(path) > MaxSocketPath:
		return nil, fmt.Errorf("agent: the socket's path has %d bytes, and at most %d are possible: choose a shorter one: %w", len(path), MaxSocketPath, err)
	case err != nil:
		return nil, fmt.Errorf("agent: %w", err)
	}
	// Until here the directory keeps others out.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("agent: %w", err)
	}
	return l, nil
}

// removeDead removes a socket at which nobody listens any more.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("agent: %w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("agent: %s exists and isn't a socket: remove it, or choose another path", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("agent: another agent listens at %s: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("agent: %w", err)
	}
	return os.Remove(path)
}

// ListenLoopback listens at a free port of 127.0.0.1.
func ListenLoopback() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:0") }

// The bounds of what callers can make the agent keep.
const (
	maxConnections = 1024 // those beyond wait for one to end
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute
	closingTime    = 5 * time.Second
)

// Serve answers at a Unix socket, or at a loopback port, until ctx is done or l fails, and
// then lets the requests under way end for some seconds. It closes l. The error is nil if
// ctx is done, else l's. Serve may be called for several listeners at once. A listener that
// other machines can reach is refused.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	kind := connection{unix: l.Addr().Network() == "unix"}
	if at, ok := l.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() {
		kind.port = at.Port
	} else if !kind.unix {
		l.Close()
		return fmt.Errorf("agent: %s is neither a Unix socket nor a loopback address", l.Addr())
	}
	server := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      a.timeout + headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(discard{}, "", 0), // of callers who break off
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			own := kind
			if admitted, ok := c.(*admittedConn); ok {
				own.pid = admitted.pid
			}
			return withConnection(ctx, own)
		},
	}
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(&bounded{Listener: l, agent: a, places: make(chan struct{}, maxConnections)})
	}()
	select {
	case <-ctx.Done():
		shutDown(ctx, server)
		<-served // says that the server was shut down
		return nil
	case err := <-served:
		if ctx.Err() != nil {
			err = nil // the listener was closed because ctx is done
		}
		shutDown(ctx, server)
		return err
	}
}

// shutDown lets the requests under way end, and closes their connections after closingTime.
func shutDown(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closingTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// bounded accepts so many connections at once, and on a Unix socket those of this user.
type bounded struct {
	net.Listener
	agent  *Agent
	places chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		b.places <- struct{}{}
		c, err := b.Listener.Accept()
		if err != nil {
			<-b.places
			return nil, err
		}
		pid, err := peer(c)
		if err != nil {
			b.agent.log.Warn("graphtoken agent: a caller was refused", "reason", err.Error())
			c.Close()
			<-b.places
			continue
		}
		return &admittedConn{Conn: c, pid: pid, release: sync.OnceFunc(func() { <-b.places })}, nil
	}
}

// admittedConn gives its place back when it is closed.
type admittedConn struct {
	net.Conn
	pid     int
	release func()
}

func (c *admittedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// errOtherUser says that another user's process has connected.
type errOtherUser struct{ uid int }

func (e errOtherUser) Error() string { return fmt.Sprintf("its process is of the user %d", e.uid) }

// peer returns the process at the other end of a Unix socket, 0 where that isn't known, or
// an error for another user's. Of the other connections it knows nothing.
func peer(c net.Conn) (pid int, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	uid := -1
	var inner error
	if err := raw.Control(func(fd uintptr) { uid, pid, inner = credentials(int(fd)) }); err != nil {
		return 0, err
	}
	if inner != nil {
		if errors.Is(inner, errors.ErrUnsupported) {
			return 0, nil // the socket's mode is what there is
		}
		return 0, inner
	}
	if uid != os.Getuid() {
		return 0, errOtherUser{uid}
	}
	return pid, nil
}

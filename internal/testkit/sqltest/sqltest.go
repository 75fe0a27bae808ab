//go:build unix

// Package sqltest starts database servers for tests: PostgreSQL and MariaDB, as
// scripts/servers-sql installs them.
//
//	server := sqltest.Postgres(t)
//	db, err := gorm.Open(postgres.Open(server.DSN()), &gorm.Config{})
//
// A server listens on a free port of 127.0.0.1, keeps its data in a temporary
// directory, and ends with its test, or with the test's process, however that
// ends. Where it isn't installed the test says so, see [peer.Missing]. Nothing
// it stores survives a power cut: it doesn't fsync.
package sqltest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// TB is what this package needs of a *testing.T or *testing.B.
type TB interface {
	peer.TB
	Cleanup(func())
}

// Server is a database server of its own.
type Server struct {
	t       TB
	dsn     string
	account *syscall.Credential // nil: this process's
	command []string
	signal  string // that ends it quickly and in order
	ready   func() error

	log     bytes.Buffer
	running *exec.Cmd
	stdin   io.Closer
	ended   chan struct{}
}

const install = "install it with scripts/servers-sql"

// Postgres starts a PostgreSQL, or skips the test.
func Postgres(t TB) *Server {
	t.Helper()
	initdb, postgres, isReady := find("initdb"), find("postgres"), find("pg_isready")
	if initdb == "" || postgres == "" || isReady == "" {
		peer.Missing(t, "postgres", install)
		return nil
	}
	s := &Server{t: t, signal: "INT"}
	dir, port := s.place("postgres"), freePort(t)
	s.run(initdb, "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--pgdata="+dir)
	s.command = []string{postgres, "-D", dir, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_connections=400"}
	s.dsn = "host=127.0.0.1 port=" + port + " user=postgres dbname=postgres sslmode=disable"
	s.ready = func() error { return exec.Command(isReady, "-q", "-h", "127.0.0.1", "-p", port).Run() }
	s.Start()
	return s
}

// MariaDB starts a MariaDB, or skips the test.
func MariaDB(t TB) *Server {
	t.Helper()
	installDB, mariadbd := find("mariadb-install-db"), find("mariadbd")
	if installDB == "" || mariadbd == "" {
		peer.Missing(t, "mariadb", install)
		return nil
	}
	s := &Server{t: t, signal: "TERM"}
	dir, port := s.place("mysql"), freePort(t)
	s.run(installDB, "--no-defaults", "--auth-root-authentication-method=normal", "--datadir="+dir)
	s.command = []string{mariadbd, "--no-defaults", "--datadir=" + dir, "--bind-address=127.0.0.1", "--port=" + port,
		"--socket=" + filepath.Join(dir, "socket"), "--pid-file=" + filepath.Join(dir, "pid"),
		"--innodb-flush-log-at-trx-commit=0", "--max-connections=200"}
	s.dsn = "root@tcp(127.0.0.1:" + port + ")/test"
	s.ready = func() error { return greets("127.0.0.1:" + port) }
	s.Start()
	return s
}

// DSN is what gorm's driver wants to be told.
func (s *Server) DSN() string { return s.dsn }

// Stop ends the server in order, cutting its connections. What it stored is
// there again after Start.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	_ = s.stdin.Close()
	<-s.ended
	s.running = nil
}

// Start starts a server that was stopped, at the same address.
func (s *Server) Start() {
	s.t.Helper()
	// The shell ends the server by its process id as soon as its own input
	// ends: closed by Stop, or by the death of this process.
	cmd := exec.Command("sh", append([]string{"-c", `"$@" & read end; kill -` + s.signal + ` $!; wait $!`, "sh"}, s.command...)...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatalf("sqltest: %v", err)
		return
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.running, s.stdin, s.ended = cmd, stdin, ended
	for deadline := time.Now().Add(time.Minute); ; {
		err := s.ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Stop() // before its output is read
			s.t.Fatalf("sqltest: %s isn't ready: %v\n%s", s.command[0], err, &s.log)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// place makes the data directory, for an account that may run the server: none
// runs as root.
func (s *Server) place(account string) (dir string) {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "sqltest-")
	if err != nil {
		s.t.Fatalf("sqltest: %v", err)
		return ""
	}
	s.t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	if os.Getuid() != 0 {
		return dir
	}
	u, err := user.Lookup(account)
	if err != nil {
		s.t.Fatalf("sqltest: %v", err)
		return ""
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	s.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		s.t.Fatalf("sqltest: %v", err)
	}
	return dir
}

// run runs a program that prepares the directory.
func (s *Server) run(program string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("sqltest: %s: %v\n%s", program, err, out)
	}
}

// find looks where Debian keeps what it doesn't put into the PATH, too.
func find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	paths = append(paths, "/usr/sbin/"+program)
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func freePort(t TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("sqltest: %v", err)
		return ""
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// greets waits for the first packet of MySQL's protocol, whose first byte after
// the packet's header is the protocol's version: 10.
func greets(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	var packet [5]byte
	if _, err := io.ReadFull(conn, packet[:]); err != nil {
		return err
	}
	if packet[4] != 10 {
		return fmt.Errorf("the server speaks version %d of the protocol", packet[4])
	}
	return nil
}

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
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Server is a database server of its own.
type Server struct {
	t       testing.TB
	dsn     string
	account *syscall.Credential // nil: this process's
	ready   func() error
	last    syscall.Signal // ends it quickly and in order
	process *testkit.Process
}

const install = "install it with scripts/servers-sql"

// Postgres starts a PostgreSQL, or skips the test.
func Postgres(t testing.TB) *Server {
	t.Helper()
	initdb, postgres, isReady := find("initdb"), find("postgres"), find("pg_isready")
	if initdb == "" || postgres == "" || isReady == "" {
		peer.Missing(t, "postgres", install)
		return nil
	}
	s := &Server{t: t, last: syscall.SIGINT}
	dir, port := s.place("postgres"), strconv.Itoa(testkit.FreePort(t))
	s.run(initdb, "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--pgdata="+dir)
	s.dsn = "host=127.0.0.1 port=" + port + " user=postgres dbname=postgres sslmode=disable"
	s.ready = func() error { return exec.Command(isReady, "-q", "-h", "127.0.0.1", "-p", port).Run() }
	return s.begin(postgres, "-D", dir, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_connections=400")
}

// MariaDB starts a MariaDB, or skips the test.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	installDB, mariadbd := find("mariadb-install-db"), find("mariadbd")
	if installDB == "" || mariadbd == "" {
		peer.Missing(t, "mariadb", install)
		return nil
	}
	s := &Server{t: t, last: syscall.SIGTERM}
	dir, port := s.place("mysql"), strconv.Itoa(testkit.FreePort(t))
	s.run(installDB, "--no-defaults", "--auth-root-authentication-method=normal", "--datadir="+dir)
	s.dsn = "root@tcp(127.0.0.1:" + port + ")/test"
	s.ready = func() error { return greets("127.0.0.1:" + port) }
	return s.begin(mariadbd, "--no-defaults", "--datadir="+dir, "--bind-address=127.0.0.1", "--port="+port,
		"--socket="+filepath.Join(dir, "socket"), "--pid-file="+filepath.Join(dir, "pid"),
		"--innodb-flush-log-at-trx-commit=0", "--max-connections=200")
}

// DSN is what gorm's driver wants to be told.
func (s *Server) DSN() string { return s.dsn }

// begin starts the server for the first time.
func (s *Server) begin(program string, args ...string) *Server {
	s.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account}
	s.process = testkit.Start(s.t, cmd, s.last)
	s.process.Await(s.t, s.ready)
	return s
}

// Stop shuts the server down and closes its connections. After Start its data is
// there again.
func (s *Server) Stop() {
	s.t.Helper()
	s.process.End(s.t, s.last)
}

// Start starts a server that was stopped, at the same address.
func (s *Server) Start() {
	s.t.Helper()
	s.process.Restart(s.t)
	s.process.Await(s.t, s.ready)
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
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
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

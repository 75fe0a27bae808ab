package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// MasterName is the name Sentinels know the master by.
const MasterName = "graphtoken"

// Sentinels watch over a master and its replicas.
type Sentinels struct {
	Servers   []*Server // the first is the master to begin with
	Sentinels []*Server
}

// StartSentinels runs a master, two replicas and three Sentinels, and returns
// when the Sentinels could do a failover.
func StartSentinels(t testing.TB) *Sentinels {
	t.Helper()
	require(t)
	if _, err := exec.LookPath("redis-sentinel"); err != nil {
		peer.Missing(t, "redis", "install its Sentinel too, on Debian by `scripts/servers-redis`: "+err.Error())
	}
	const replicas, sentinels = 2, 3
	master := Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	s := &Sentinels{Servers: []*Server{master}}
	for range replicas {
		s.Servers = append(s.Servers, Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0"))
	}
	master.untilFollowed(t, replicas)
	for range sentinels {
		s.Sentinels = append(s.Sentinels, start(t, "redis-sentinel", []string{
			"sentinel monitor " + MasterName + " " + host + " " + port + " 2",
			"sentinel down-after-milliseconds " + MasterName + " 1000",
			"sentinel failover-timeout " + MasterName + " 10000",
		}))
	}
	for _, sentinel := range s.Sentinels {
		testkit.Retry(t, "the Sentinel "+sentinel.Addr, func() error { return sentinel.knows(replicas, sentinels) })
	}
	return s
}

// untilFollowed waits for as many replicas in step.
func (s *Server) untilFollowed(t testkit.TB, replicas int) {
	t.Helper()
	testkit.Retry(t, "the replicas of "+s.Addr, func() error {
		info, err := s.cli("info", "replication")
		if n := strings.Count(info, "state=online"); err == nil && n < replicas {
			err = fmt.Errorf("%d of %d are in step", n, replicas)
		}
		return err
	})
}

// knows wants a Sentinel to know all the others.
func (s *Server) knows(replicas, sentinels int) error {
	quorum, err := s.cli("sentinel", "ckquorum", MasterName)
	if err != nil || !strings.HasPrefix(quorum, "OK") {
		return fmt.Errorf("ckquorum: %s: %v", quorum, err)
	}
	master, err := s.cli("sentinel", "master", MasterName)
	if err != nil {
		return err
	}
	fields := strings.Split(master, "\n")
	for i := 0; i+1 < len(fields); i++ {
		for field, want := range map[string]int{"num-slaves": replicas, "num-other-sentinels": sentinels - 1} {
			if fields[i] == field && fields[i+1] != strconv.Itoa(want) {
				return fmt.Errorf("%s is %s, not %d", field, fields[i+1], want)
			}
		}
	}
	return nil
}

// Addrs are the addresses of the Sentinels.
func (s *Sentinels) Addrs() []string {
	var addrs []string
	for _, sentinel := range s.Sentinels {
		addrs = append(addrs, sentinel.Addr)
	}
	return addrs
}

// Master is the address of the present master, as a Sentinel tells it.
func (s *Sentinels) Master(t testkit.TB) string {
	t.Helper()
	host, port, _ := strings.Cut(s.Sentinels[0].CLI(t, "sentinel", "get-master-addr-by-name", MasterName), "\n")
	return net.JoinHostPort(host, port)
}

// Failover has the Sentinels replace the master, and returns when all of them
// say that another one is it.
func (s *Sentinels) Failover(t testkit.TB) {
	t.Helper()
	old := s.Master(t)
	testkit.Retry(t, "a failover", func() error {
		out, err := s.Sentinels[0].cli("sentinel", "failover", MasterName)
		if err == nil && out != "OK" {
			err = fmt.Errorf("%s", out) // no good replica yet, or one is under way
		}
		return err
	})
	s.untilReplaced(t, old)
}

// Switchover is a failover that loses nothing, while nobody writes. Sentinel's
// own doesn't wait until the replicas know all that the master knows, and tells
// the master only ten seconds later that it is none any more.
func (s *Sentinels) Switchover(t testkit.TB) {
	t.Helper()
	old := s.serverAt(t, s.Master(t))
	testkit.Retry(t, "the replicas of "+old.Addr, func() error {
		info, err := old.cli("info", "replication")
		_, offset, _ := strings.Cut(info, "master_repl_offset:")
		offset, _, _ = strings.Cut(offset, "\n")
		if n := strings.Count(info, "offset="+strings.TrimSpace(offset)+","); err == nil && n < len(s.Servers)-1 {
			err = fmt.Errorf("%d of %d know all", n, len(s.Servers)-1)
		}
		return err
	})
	s.Failover(t)
	host, port, _ := net.SplitHostPort(s.Master(t))
	old.CLI(t, "replicaof", host, port)
	old.CLI(t, "client", "kill", "type", "normal")
}

func (s *Sentinels) serverAt(t testkit.TB, addr string) *Server {
	t.Helper()
	for _, server := range s.Servers {
		if server.Addr == addr {
			return server
		}
	}
	t.Fatalf("redistest: no server of this test is at %s", addr)
	return nil
}

// KillMaster ends the master as a crash does, and returns when all Sentinels
// have noticed by themselves and say that another one is it.
func (s *Sentinels) KillMaster(t testkit.TB) {
	t.Helper()
	old := s.Master(t)
	master := s.serverAt(t, old)
	master.untilFollowed(t, 1) // it may be new itself
	master.Kill(t)
	s.untilReplaced(t, old)
}

func (s *Sentinels) untilReplaced(t testkit.TB, old string) {
	t.Helper()
	testkit.Retry(t, "a new master after "+old, func() error {
		for _, sentinel := range s.Sentinels {
			out, err := sentinel.cli("sentinel", "get-master-addr-by-name", MasterName)
			if err != nil {
				return err
			}
			if host, port, _ := strings.Cut(out, "\n"); net.JoinHostPort(host, port) == old {
				return fmt.Errorf("%s says that it still is %s", sentinel.Addr, old)
			}
		}
		return nil
	})
}

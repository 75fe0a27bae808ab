package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Cluster is three masters and a replica of each.
type Cluster struct {
	Nodes []*Server
}

// StartCluster makes a Cluster, and returns when all of its nodes agree that it
// is whole.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	require(t)
	c := new(Cluster)
	create := []string{"--cluster", "create"}
	for range 6 {
		node := start(t, "redis-server", nil, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--appendonly", "yes")
		c.Nodes = append(c.Nodes, node)
		create = append(create, node.Addr)
	}
	c.Nodes[0].CLI(t, append(create, "--cluster-replicas", "1", "--cluster-yes")...)
	for _, node := range c.Nodes {
		testkit.Retry(t, "the Cluster seen from "+node.Addr, func() error { return node.clusterIsWhole() })
	}
	return c
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// MasterOf is the node that serves a key.
func (c *Cluster) MasterOf(t testkit.TB, key string) *Server {
	t.Helper()
	master := c.masterOf(key)
	if master == nil {
		t.Fatalf("redistest: no master serves %q", key)
	}
	return master
}

func (c *Cluster) masterOf(key string) *Server {
	for _, node := range c.Nodes {
		if _, err := node.cli("exists", key); err != nil {
			continue // another's, or it is down
		}
		if role, err := node.cli("role"); err == nil && strings.HasPrefix(role, "master") {
			return node
		}
	}
	return nil
}

// clusterIsWhole wants every slot served, and every replica in step.
func (s *Server) clusterIsWhole() error {
	info, err := s.cli("cluster", "info")
	if err != nil {
		return err
	}
	for _, line := range []string{"cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:6"} {
		if !strings.Contains(info, line) {
			return fmt.Errorf("no %s in %s", line, info)
		}
	}
	role, err := s.cli("role")
	if err != nil {
		return err
	}
	if strings.HasPrefix(role, "slave") && !strings.Contains(role, "connected") {
		return fmt.Errorf("the replica is not in step: %s", role)
	}
	return nil
}

// Failover has a replica of the master that serves a key take its place, and
// returns when every node says so.
func (c *Cluster) Failover(t testkit.TB, key string) {
	t.Helper()
	old := c.MasterOf(t, key)
	id := old.CLI(t, "cluster", "myid")
	for _, node := range c.Nodes {
		if node.replicates(t, id) {
			testkit.Retry(t, "a failover to "+node.Addr, func() error {
				_, err := node.cli("cluster", "failover")
				return err
			})
			testkit.Retry(t, node.Addr+" as a master", func() error {
				role, err := node.cli("role")
				if err == nil && !strings.HasPrefix(role, "master") {
					err = fmt.Errorf("its role is %s", role)
				}
				return err
			})
			break
		}
	}
	for _, node := range c.Nodes {
		testkit.Retry(t, "the Cluster seen from "+node.Addr, func() error { return node.clusterIsWhole() })
	}
	if now := c.MasterOf(t, key); now == old {
		t.Fatalf("redistest: %q is still served by %s", key, old.Addr)
	}
}

// KillMaster ends the master that serves a key as a crash does, and returns
// when its replica has taken its place.
func (c *Cluster) KillMaster(t testkit.TB, key string) {
	t.Helper()
	c.MasterOf(t, key).Kill(t)
	testkit.Retry(t, "a new master of "+key, func() error {
		if c.masterOf(key) == nil {
			return fmt.Errorf("nobody serves it")
		}
		return nil
	})
}

// Move moves the slot of a key to another master, as resharding does. It calls
// marked while keys that aren't there yet are to be made at the new place, and
// moved when all keys are there and the Cluster doesn't know it yet.
func (c *Cluster) Move(t testkit.TB, key string, marked, moved func()) {
	t.Helper()
	from, slot := c.MasterOf(t, key), c.Nodes[0].CLI(t, "cluster", "keyslot", key)
	var to *Server
	var masters []*Server
	for _, node := range c.Nodes {
		if strings.HasPrefix(node.CLI(t, "role"), "master") {
			masters = append(masters, node)
			if node != from {
				to = node
			}
		}
	}
	toID := to.CLI(t, "cluster", "myid")
	to.CLI(t, "cluster", "setslot", slot, "importing", from.CLI(t, "cluster", "myid"))
	from.CLI(t, "cluster", "setslot", slot, "migrating", toID)
	marked()
	host, port, _ := net.SplitHostPort(to.Addr)
	testkit.Retry(t, "moving the slot of "+key, func() error {
		keys := strings.Fields(from.CLI(t, "cluster", "getkeysinslot", slot, "100"))
		if len(keys) == 0 {
			return nil // none will be made here any more
		}
		from.CLI(t, append([]string{"migrate", host, port, "", "0", "5000", "keys"}, keys...)...)
		return fmt.Errorf("there may be more than %d keys", len(keys))
	})
	moved()
	for _, node := range append([]*Server{to, from}, masters...) {
		node.CLI(t, "cluster", "setslot", slot, "node", toID)
	}
	for _, node := range c.Nodes {
		testkit.Retry(t, "the Cluster seen from "+node.Addr, func() error { return node.clusterIsWhole() })
	}
}

// replicates says whether the node is a replica of the master with this id.
func (s *Server) replicates(t testkit.TB, id string) bool {
	t.Helper()
	for line := range strings.Lines(s.CLI(t, "cluster", "nodes")) {
		if strings.Contains(line, "myself,slave "+id) {
			return true
		}
	}
	return false
}

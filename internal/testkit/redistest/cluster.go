package redistest

import (
	"fmt"
	"strings"
)

// Cluster is three masters and a replica of each.
type Cluster struct {
	Nodes []*Server
}

// StartCluster makes a Cluster, and returns when all of its nodes agree that it
// is whole.
func StartCluster(t TB) *Cluster {
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
		until(t, "the Cluster seen from "+node.Addr, func() error { return node.clusterIsWhole() })
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
func (c *Cluster) MasterOf(t TB, key string) *Server {
	t.Helper()
	for _, node := range c.Nodes {
		if out, err := node.cli("exists", key); err == nil && !strings.Contains(out, "MOVED") && strings.HasPrefix(node.CLI(t, "role"), "master") {
			return node
		}
	}
	t.Fatalf("redistest: no master serves %q", key)
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
func (c *Cluster) Failover(t TB, key string) {
	t.Helper()
	old := c.MasterOf(t, key)
	id := old.CLI(t, "cluster", "myid")
	for _, node := range c.Nodes {
		if node.replicates(t, id) {
			until(t, "a failover to "+node.Addr, func() error {
				_, err := node.cli("cluster", "failover")
				return err
			})
			until(t, node.Addr+" as a master", func() error {
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
		until(t, "the Cluster seen from "+node.Addr, func() error { return node.clusterIsWhole() })
	}
	if now := c.MasterOf(t, key); now == old {
		t.Fatalf("redistest: %q is still served by %s", key, old.Addr)
	}
}

// replicates says whether the node is a replica of the master with this id.
func (s *Server) replicates(t TB, id string) bool {
	t.Helper()
	for line := range strings.Lines(s.CLI(t, "cluster", "nodes")) {
		if strings.Contains(line, "myself,slave "+id) {
			return true
		}
	}
	return false
}

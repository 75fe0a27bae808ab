package redistest_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

func TestAServerKeepsWhatItWasTold(t *testing.T) {
	server := redistest.Start(t)
	for _, end := range []func(testkit.TB){server.Stop, server.Kill} {
		server.CLI(t, "set", "k", "kept")
		end(t)
		server.Restart(t)
		if got := server.CLI(t, "get", "k"); got != "kept" {
			t.Errorf("after a restart: %q", got)
		}
		server.CLI(t, "del", "k")
	}
}

func TestAClusterServesEveryKeyAndMovesIt(t *testing.T) {
	cluster := redistest.StartCluster(t)
	masters := map[string]bool{}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		masters[cluster.MasterOf(t, key).Addr] = true
	}
	if len(masters) < 2 {
		t.Errorf("six keys are served by %d master", len(masters))
	}
	old := cluster.MasterOf(t, "k")
	old.CLI(t, "set", "k", "kept")
	cluster.Move(t, "k", func() {
		if got := old.CLI(t, "get", "k"); got != "kept" {
			t.Errorf("before it moves: %q", got)
		}
	}, func() {})
	now := cluster.MasterOf(t, "k")
	if now == old {
		t.Fatalf("%s serves the key, as before", old.Addr)
	}
	if got := now.CLI(t, "get", "k"); got != "kept" {
		t.Errorf("at its new place: %q", got)
	}
	cluster.KillMaster(t, "k")
	if cluster.MasterOf(t, "k") == now {
		t.Error("a dead master serves the key")
	}
}

func TestSentinelsReplaceTheMaster(t *testing.T) {
	sentinels := redistest.StartSentinels(t)
	old := sentinels.Master(t)
	sentinels.Failover(t)
	if master := sentinels.Master(t); master == old {
		t.Errorf("the master is %s, as before", master)
	}
	old = sentinels.Master(t)
	sentinels.KillMaster(t)
	if master := sentinels.Master(t); master == old {
		t.Errorf("the master is %s, which is dead", master)
	}
}

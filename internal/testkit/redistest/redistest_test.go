package redistest_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

func TestAServerKeepsWhatItWasTold(t *testing.T) {
	server := redistest.Start(t)
	for _, end := range []func(redistest.TB){server.Stop, server.Kill} {
		server.CLI(t, "set", "k", "kept")
		end(t)
		server.Restart(t)
		if got := server.CLI(t, "get", "k"); got != "kept" {
			t.Errorf("after a restart: %q", got)
		}
		server.CLI(t, "del", "k")
	}
}

func TestAClusterServesEveryKey(t *testing.T) {
	cluster := redistest.StartCluster(t)
	masters := map[string]bool{}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		masters[cluster.MasterOf(t, key).Addr] = true
	}
	if len(masters) < 2 {
		t.Errorf("six keys are served by %d master", len(masters))
	}
}

func TestSentinelsReplaceTheMaster(t *testing.T) {
	sentinels := redistest.StartSentinels(t)
	old := sentinels.Master(t)
	sentinels.Failover(t)
	if master := sentinels.Master(t); master == old {
		t.Errorf("the master is %s, as before", master)
	}
}

package sql

import (
	"context"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func TestReadersAndWaitersLeaveHoldersAConnection(t *testing.T) {
	for _, k := range []struct{ connections, turns int }{{20, 15}, {4, 3}, {2, 1}, {1, 1}} {
		d := startSQLite(t)
		table := newTable()
		b := d.open(t, Options{Table: table})
		b.turns.SetMaxOpenConns(k.connections)
		seen := save(t, b, "k", "1", core.Absent)
		var back []func()
		for range k.turns {
			done, err := turn(t.Context(), b.turns)
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, done)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := turn(gone, b.turns); err == nil {
			t.Errorf("of %d connections more than %d are taken", k.connections, k.turns)
		}
		save(t, b, "k", "2", seen) // it asks for no turn
		for _, done := range back {
			done()
		}
		queues.Lock()
		if queues.of[b.turns] != nil {
			t.Error("a queue that nobody is in is kept")
		}
		queues.Unlock()
	}
}

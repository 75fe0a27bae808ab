package sql

import (
	"context"
	stdsql "database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

// slow is a pool that holds up what is queried, and counts how many queries are under
// way.
type slow struct {
	gorm.ConnPool
	underWay, most atomic.Int64
	open           chan struct{} // closed to let them go
}

func (s *slow) QueryContext(ctx context.Context, query string, args ...any) (*stdsql.Rows, error) {
	n := s.underWay.Add(1)
	defer s.underWay.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	<-s.open
	return s.ConnPool.QueryContext(ctx, query, args...)
}

func TestAHolderFindsAConnectionHoweverManyReadThroughThePool(t *testing.T) {
	for connections, readers := range map[int]int64{20: 15, 4: 3} {
		d := startSQLite(t)
		db, o := d.connect(t), Options{Table: newTable()}
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(connections)
		holder, err := New(db, o)
		if err == nil {
			err = holder.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		lease, err := holder.Acquire(t.Context(), "k", core.DefaultLeaseTTL)
		if err != nil {
			t.Fatal(err)
		}
		s := &slow{ConnPool: pool, open: make(chan struct{})}
		var all sync.WaitGroup
		for range 4 {
			b, err := New(db, o) // of another store in the process
			if err != nil {
				t.Fatal(err)
			}
			b.pool, b.prepared = s, nil
			for range connections {
				all.Go(func() {
					if _, err := b.Load(t.Context(), "k"); err != nil {
						t.Error(err)
					}
				})
			}
		}
		testkit.Until(t, "so many read as may", func() bool { return s.underWay.Load() == readers })
		save(t, holder, "k", "1", core.Absent)
		if err := lease.Renew(t.Context(), core.DefaultLeaseTTL); err != nil {
			t.Error(err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		close(s.open)
		all.Wait()
		if most := s.most.Load(); most > readers {
			t.Errorf("%d read at one time through a pool of %d connections, want %d at most", most, connections, readers)
		}
	}
}

// writes counts how many statements that write are under way.
type writes struct {
	gorm.ConnPool
	underWay, most atomic.Int64
}

func (w *writes) ExecContext(ctx context.Context, query string, args ...any) (stdsql.Result, error) {
	n := w.underWay.Add(1)
	defer w.underWay.Add(-1)
	for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
	}
	return w.ConnPool.ExecContext(ctx, query, args...)
}

func TestOneStatementAtATimeWritesToSQLite(t *testing.T) {
	d := startSQLite(t)
	db, o := d.connect(t), Options{Table: newTable()}
	var w *writes
	var all sync.WaitGroup
	for n := range 4 {
		b, err := New(db, o)
		if err == nil {
			err = b.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if w == nil {
			w = &writes{ConnPool: b.pool}
		}
		b.pool, b.prepared = w, nil
		for i := range 20 {
			all.Go(func() {
				if _, err := b.Save(t.Context(), fmt.Sprint(n, i), core.Record{Data: []byte("1")}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if most := w.most.Load(); most != 1 {
		t.Errorf("%d statements wrote at one time, want one", most)
	}
}

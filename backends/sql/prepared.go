package sql

import (
	"context"
	stdsql "database/sql"
	"runtime"
	"sync"

	"gorm.io/gorm"
)

// prepared are prepared statements. A Backend prepares its statements only on SQLite,
// which needs more time to parse a statement than to execute it. On a server the program
// decides: pgx prepares unless it is configured not to, which a pooler such as PgBouncer
// needs, because it shares sessions; MySQL limits the number for all sessions together
// (max_prepared_stmt_count), and gorm's PrepareStmt or the driver's interpolateParams
// save the same round trip.
type prepared struct {
	mu sync.Mutex
	of map[string]*stdsql.Stmt // by their text
}

// prepare returns the statements of b. It returns nil if the pool isn't one of
// database/sql. The statements are closed when the Backend is garbage-collected.
func prepare(b *Backend) *prepared {
	if _, ok := b.pool.(*stdsql.DB); !ok {
		return nil
	}
	p := &prepared{of: make(map[string]*stdsql.Stmt)}
	runtime.AddCleanup(b, func(p *prepared) { p.close() }, p)
	return p
}

func (p *prepared) statement(ctx context.Context, pool gorm.ConnPool, text string) (*stdsql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.of[text]; s != nil {
		return s, nil
	}
	s, err := pool.PrepareContext(ctx, text)
	if err == nil {
		p.of[text] = s
	}
	return s, err
}

func (p *prepared) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.of {
		_ = s.Close() // the database may already be closed, and the statements with it
	}
}

package sql

import (
	"context"
	stdsql "database/sql"
	"runtime"
	"sync"

	"gorm.io/gorm"
)

// prepared are statements that the database has read already. A Backend prepares its
// own on SQLite alone, which takes longer to read a statement than to execute
// it. On a server they are the program's to decide about: pgx prepares unless it is told
// not to, because a pooler such as PgBouncer hands sessions on; MySQL allows so many for
// all sessions together (max_prepared_stmt_count), and gorm's PrepareStmt or
// the driver's interpolateParams save the same round trip.
type prepared struct {
	mu sync.Mutex
	of map[string]*stdsql.Stmt // by their text
}

// prepare returns the statements of b; nil where the pool isn't database/sql's own. They
// are closed when nobody has the Backend any more.
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
		_ = s.Close() // the database may be closed already, and they with it
	}
}

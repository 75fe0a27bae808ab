package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// channel is where PostgreSQL is told what waiters wait for. It is one for the
// whole database, whatever the tables.
const channel = "graphtoken"

// linger is how long a connection that listens stays when nobody waits any more: those
// who wait look away from time to time.
const linger = 10 * time.Second

// news is what is said on the channel of a record_key. It doesn't tell the
// key: whoever may connect to a database may listen there.
func news(storedKey string) string {
	digest := sha256.Sum256([]byte(storedKey))
	return hex.EncodeToString(digest[:8])
}

// savedNews is what is said after a save, whose version others need not look for.
func savedNews(storedKey string, v core.Version) string { return news(storedKey) + " " + string(v) }

// listen hands what an Options.Listen hears to those who wait.
func listen(to func(ctx context.Context, channel string, heard func(payload string)) error) func(context.Context, *backend.News) {
	return func(ctx context.Context, n *backend.News) {
		var once sync.Once
		// Why it ended is for the program that wrote it to say.
		_ = to(ctx, channel, func(payload string) {
			once.Do(n.HeardAll)
			switch name, version, saved := strings.Cut(payload, " "); {
			case saved:
				n.Saved(name, core.Version(version))
			case payload != "":
				n.Wake(payload)
			}
		})
	}
}

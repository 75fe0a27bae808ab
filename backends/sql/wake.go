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

// channel is where PostgreSQL is told of changes. There is one for the whole database,
// whatever the tables.
const channel = "graphtoken"

// linger is how long a connection that listens stays after the last waiter has left,
// because waiters come again soon.
const linger = 10 * time.Second

// news is the message on the channel for a record_key. It doesn't tell the key, because
// every user of a database may listen.
func news(storedKey string) string {
	digest := sha256.Sum256([]byte(storedKey))
	return hex.EncodeToString(digest[:8])
}

// savedNews is the message after a save. It tells the version, so that others need not
// look.
func savedNews(storedKey string, v core.Version) string { return news(storedKey) + " " + string(v) }

// listen hands what an Options.Listen hears to those who wait.
func listen(to func(ctx context.Context, channel string, heard func(payload string)) error) func(context.Context, *backend.News) {
	return func(ctx context.Context, n *backend.News) {
		var once sync.Once
		// The program that wrote Listen reports why it ended.
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

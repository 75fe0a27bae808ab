package firestore

import (
	"context"
	"sync/atomic"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core/backend"
)

// maxWatches bounds the keys that are listened to at one time. A listener is a
// stream, a connection carries a hundred, and one that is full keeps every
// other call waiting. Whoever waits for one key more looks by itself.
const maxWatches = 16

// listen listens to the records and leases that somebody waits for.
func (b *Backend) listen(ctx context.Context, news *backend.News) {
	stops := make(map[string]context.CancelFunc) // by key
	for {
		select {
		case <-news.Changed():
		case <-ctx.Done():
			return // as all that is listened to below it
		}
		come, gone := news.Names()
		for _, key := range gone {
			if stop := stops[key]; stop != nil {
				stop()
				delete(stops, key)
			}
		}
		for _, key := range come {
			if len(stops) < maxWatches {
				stops[key] = b.watch(ctx, key, news)
			}
		}
	}
}

// watch listens to the record and the lease of one key, until stop is called. Nobody
// can be sure of having missed nothing before both have said what they begin with.
func (b *Backend) watch(ctx context.Context, key string, news *backend.News) (stop context.CancelFunc) {
	ctx, stop = context.WithCancel(ctx)
	at, begun := b.place(key), new(atomic.Int32)
	for _, doc := range []*firestore.DocumentRef{at.record, at.lease} {
		go func() {
			snapshots := doc.Snapshots(ctx)
			defer snapshots.Stop()
			// The client connects again by itself; when it gives up, those who wait look now
			// and then.
			for first := true; ; first = false {
				if _, err := snapshots.Next(); err != nil {
					return
				}
				if first && begun.Add(1) == 2 {
					news.Heard(key)
				} else if !first {
					news.Wake(key)
				}
			}
		}()
	}
	return stop
}

package firestore

import (
	"context"
	"sync/atomic"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core/backend"
)

// maxWatches is the largest number of keys that are listened to at one time. A listener
// is a stream, and a connection carries a hundred streams; if it is full, all other calls
// wait. Calls for more keys than this have no listener, and look by their timer alone.
const maxWatches = 16

// listen listens to the records and leases that calls wait for.
func (b *Backend) listen(ctx context.Context, news *backend.News) {
	stops := make(map[string]context.CancelFunc) // by key
	for {
		select {
		case <-news.Changed():
		case <-ctx.Done():
			return // this also ends all listeners
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

// watch listens to the record and the lease of one key, until stop is called. Only after
// both have reported their first state is it certain that no change is missed.
func (b *Backend) watch(ctx context.Context, key string, news *backend.News) (stop context.CancelFunc) {
	ctx, stop = context.WithCancel(ctx)
	at, begun := b.place(key), new(atomic.Int32)
	for _, doc := range []*firestore.DocumentRef{at.record, at.lease} {
		go func() {
			snapshots := doc.Snapshots(ctx)
			defer snapshots.Stop()
			// The client connects again by itself. If it gives up, waiting calls still
			// look by their timer.
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

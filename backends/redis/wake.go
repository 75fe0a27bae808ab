package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// listen keeps one subscription for all waiters of b, for any number of keys; otherwise
// each waiter would take a connection. All requests to the server are made here, so that
// an outage holds up no waiter.
func (b *Backend) listen(ctx context.Context, n *backend.News) {
	// Its own context doesn't end before that of a command.
	subscription := b.client.Subscribe(context.WithoutCancel(ctx))
	defer subscription.Close()
	events := subscription.ChannelWithSubscriptions()
	names := make(map[string]bool) // the names that the server was told, and whether it has confirmed them
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.Changed():
			come, gone := n.Names()
			// A failure is made up for when the client connects again.
			if len(come) > 0 {
				_ = subscription.Subscribe(ctx, come...)
			}
			if len(gone) > 0 {
				_ = subscription.Unsubscribe(ctx, gone...)
			}
			for _, name := range come {
				names[name] = false
			}
			for _, name := range gone {
				delete(names, name)
			}
		case event, ok := <-events:
			if !ok { // the client is closed
				return
			}
			switch e := event.(type) {
			case *redis.Subscription:
				switch confirmed, told := names[e.Channel]; {
				case !told || e.Kind != "subscribe":
				case confirmed: // over a new connection: messages in between are lost
					n.Wake(e.Channel)
				default:
					names[e.Channel] = true
					n.Heard(e.Channel)
				}
			case *redis.Message:
				if e.Payload == "" {
					n.Wake(e.Channel)
				} else {
					n.Saved(e.Channel, core.Version(e.Payload))
				}
			}
		}
	}
}

package redis

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// wakes is one subscription for all who wait through one Backend, however many
// and for however many keys: each would take a connection otherwise. It is
// there while somebody waits, and so nobody has to close it.
type wakes struct {
	client redis.UniversalClient

	mu       sync.Mutex
	channels map[string]*channel
	changed  chan struct{} // tells run that channels did; nil when nobody waits
}

type channel struct {
	subscribed bool
	waiters    map[chan struct{}]struct{}
}

// join returns a channel that receives when it is worth looking again: at
// every message, and whenever the server has confirmed the subscription, since
// messages before were missed.
func (w *wakes) join(name string) (woken <-chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.channels = make(map[string]*channel)
		w.changed = make(chan struct{}, 1)
		go w.run(w.changed)
	}
	c := w.channels[name]
	if c == nil {
		c = &channel{waiters: make(map[chan struct{}]struct{})}
		w.channels[name] = c
		signal(w.changed)
	}
	waiter := make(chan struct{}, 1)
	c.waiters[waiter] = struct{}{}
	if c.subscribed {
		signal(waiter)
	}
	return waiter, func() { w.leave(name, c, waiter) }
}

func (w *wakes) leave(name string, c *channel, waiter chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(c.waiters, waiter)
	if len(c.waiters) > 0 {
		return
	}
	delete(w.channels, name)
	signal(w.changed)
	if len(w.channels) == 0 {
		w.changed = nil // run ends; who comes next begins another
	}
}

// run keeps the subscription until changed is no longer w's. All talking to
// the server is done here, where an outage holds up nobody who waits.
func (w *wakes) run(changed chan struct{}) {
	ctx := context.Background() // the waiters' own end without it
	subscription := w.client.Subscribe(ctx)
	defer subscription.Close()
	events := subscription.ChannelWithSubscriptions()
	names := make(map[string]bool) // what the server was told
	for {
		select {
		case <-changed:
			joined, left, over := w.compare(changed, names)
			if over {
				return
			}
			// What fails is made up for when the client connects again.
			if len(joined) > 0 {
				_ = subscription.Subscribe(ctx, joined...)
			}
			if len(left) > 0 {
				_ = subscription.Unsubscribe(ctx, left...)
			}
		case event, ok := <-events:
			if !ok {
				// The client is closed. Waiters poll, and learn it there.
				events = nil
			}
			switch e := event.(type) {
			case *redis.Subscription:
				if e.Kind == "subscribe" {
					w.wake(changed, e.Channel, true)
				}
			case *redis.Message:
				w.wake(changed, e.Channel, false)
			}
		}
	}
}

// compare brings names up to date, and returns the differences.
func (w *wakes) compare(changed chan struct{}, names map[string]bool) (joined, left []string, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != changed {
		return nil, nil, true
	}
	for name := range w.channels {
		if !names[name] {
			names[name] = true
			joined = append(joined, name)
		}
	}
	for name := range names {
		if w.channels[name] == nil {
			delete(names, name)
			left = append(left, name)
		}
	}
	return joined, left, false
}

func (w *wakes) wake(changed chan struct{}, name string, confirmed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.channels[name]
	if c == nil || w.changed != changed {
		return
	}
	c.subscribed = c.subscribed || confirmed
	for waiter := range c.waiters {
		signal(waiter)
	}
}

// signal sends unless a signal lies there already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

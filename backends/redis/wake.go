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
	touched  map[string]struct{} // those that came or went since run looked
	changed  chan struct{}       // tells run that some did; nil when nobody waits
}

type channel struct {
	subscribed bool
	waiters    map[chan string]struct{}
}

// join returns a channel that receives when it is worth looking again: the
// payload of every message, and nothing whenever the server has confirmed the
// subscription, since messages before were missed.
func (w *wakes) join(name string) (woken <-chan string, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.channels = make(map[string]*channel)
		w.touched = make(map[string]struct{})
		w.changed = make(chan struct{}, 1)
		go w.run(w.changed)
	}
	c := w.channels[name]
	if c == nil {
		c = &channel{waiters: make(map[chan string]struct{})}
		w.channels[name] = c
		w.touch(name)
	}
	waiter := make(chan string, 1)
	c.waiters[waiter] = struct{}{}
	if c.subscribed {
		signal(waiter, "")
	}
	return waiter, func() { w.leave(name, c, waiter) }
}

// touch has run look at a channel. The mu is held.
func (w *wakes) touch(name string) {
	w.touched[name] = struct{}{}
	signal(w.changed, struct{}{})
}

func (w *wakes) leave(name string, c *channel, waiter chan string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(c.waiters, waiter)
	if len(c.waiters) > 0 {
		return
	}
	delete(w.channels, name)
	w.touch(name)
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
	names := make(map[string]bool) // what the server was told, and whether it has confirmed
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
				if _, told := names[e.Channel]; told && e.Kind == "subscribe" {
					names[e.Channel] = true
					w.wake(changed, e.Channel, "")
				}
			case *redis.Message:
				w.wake(changed, e.Channel, e.Payload)
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
	for name := range w.touched {
		c := w.channels[name]
		switch confirmed, told := names[name]; {
		case c != nil && !told:
			names[name] = false
			joined = append(joined, name)
		case c == nil && told:
			delete(names, name)
			left = append(left, name)
		case c != nil && confirmed: // it went and came
			c.wake("")
		}
	}
	clear(w.touched)
	return joined, left, false
}

func (w *wakes) wake(changed chan struct{}, name, payload string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channels[name]; c != nil && w.changed == changed {
		c.wake(payload)
	}
}

// wake wakes those who wait; from now on they are subscribed.
func (c *channel) wake(payload string) {
	c.subscribed = true
	for waiter := range c.waiters {
		signal(waiter, payload)
	}
}

// signal sends unless a signal lies there already.
func signal[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

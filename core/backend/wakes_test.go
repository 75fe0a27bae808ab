package backend_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core/backend"
)

// radio is what a store tells its listeners.
type radio struct {
	mu      sync.Mutex
	news    *backend.News
	calls   int
	come    []string
	gone    []string
	hangUp  chan struct{} // ends a call
	working bool
}

func (r *radio) works() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.working
}

func newRadio() *radio { return &radio{hangUp: make(chan struct{})} }

func (r *radio) listen(ctx context.Context, n *backend.News) {
	r.mu.Lock()
	r.news, r.calls, r.working = n, r.calls+1, true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.working = false
		r.mu.Unlock()
	}()
	for {
		select {
		case <-n.Changed():
			come, gone := n.Names()
			r.mu.Lock()
			r.come, r.gone = append(r.come, come...), append(r.gone, gone...)
			r.mu.Unlock()
		case <-r.hangUp:
			return
		case <-ctx.Done():
			return
		}
	}
}

func TestASaveThatIsToldEndsTheWaitWithoutALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Minute, Wakes: wakes})
		other := waiting(t, "bob", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Minute, Wakes: wakes})
		r.news.Heard("ana")
		synctest.Wait()
		n := s.count()
		r.news.Saved("ana", "2")
		wantOver(t, over, nil)
		wantWaiting(t, other)
		if n != 1 || s.count() != n {
			t.Errorf("there were %d looks before the save, and %d after", n, s.count()-n)
		}
	})
}

// A message that was under way when the waiter loaded the newer version comes late.
func TestALateMessageOfAnEarlierSaveEndsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Minute, Wakes: wakes})
		r.news.Saved("ana", "0")
		wantWaiting(t, over)
		if s.count() != 1 {
			t.Errorf("there were %d looks, want the one that tells the late message from a new one", s.count())
		}
		r.news.Heard("ana")
		r.news.Saved("ana", "2")
		wantOver(t, over, nil)
	})
}

func TestAChangeThatIsToldIsLookedAtAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Minute, Wakes: wakes})
		time.Sleep(10 * time.Second)
		r.news.Heard("ana")
		synctest.Wait()
		n := s.count()
		s.change(func(s *shop) { s.expires = time.Now() })
		r.news.Wake("ana")
		wantOver(t, over, nil)
		if s.count() != n+1 {
			t.Errorf("there were %d looks for one change", s.count()-n)
		}
	})
}

// Between the last look and the moment from which changes are told there may have
// been one.
func TestThereIsALookOnceChangesAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Hour, Wakes: wakes})
		time.Sleep(1500 * time.Millisecond)
		s.change(func(s *shop) { s.version = "2" })
		r.news.Heard("ana")
		wantOver(t, over, nil)
	})
}

// While the connection was lost, messages were lost with it.
func TestThereIsALookWhenAListenerHasConnectedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Hour, Wakes: wakes})
		r.news.Heard("ana")
		synctest.Wait()
		s.change(func(s *shop) { s.version = "2" })
		wantWaiting(t, over)
		r.news.Heard("ana")
		wantOver(t, over, nil)
	})
}

func TestANameThatNamesHasNotReturnedIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		var news *backend.News
		wakes := &backend.Wakes{Listen: func(ctx context.Context, n *backend.News) {
			news = n
			<-ctx.Done()
		}}
		waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Second, Wakes: wakes, Heard: time.Hour})
		news.Heard("ana") // a confirmation that was meant for an earlier waiter
		time.Sleep(10 * time.Second)
		if n := s.count(); n < 5 {
			t.Errorf("there were %d looks in 10 seconds though no change is told", n)
		}
	})
}

// A thousand who join must not look a thousand times.
func TestThoseWhoJoinWhileChangesAreHeardDontLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		w := backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Minute, Wakes: &backend.Wakes{Listen: r.listen}}
		waiting(t, "ana", "1", w)
		r.news.Heard("ana")
		synctest.Wait()
		n := s.count()
		for range 1000 {
			waiting(t, "ana", "1", w)
		}
		time.Sleep(10 * time.Second)
		if s.count() != n {
			t.Errorf("there were %d looks", s.count()-n)
		}
		wantOver(t, waiting(t, "ana", "0", w), nil)
		if s.count() != n+1 {
			t.Errorf("for who has seen an older version there were %d looks", s.count()-n)
		}
	})
}

func TestWhileChangesAreHeardThereAreFewLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Second, Wakes: wakes, Heard: 10 * time.Second})
		r.news.HeardAll()
		time.Sleep(100 * time.Second)
		if n := s.count(); n < 8 || n > 14 {
			t.Errorf("in 100 seconds there were %d looks, want one in 10 seconds: a change that is told can get lost", n)
		}
		before := s.count()
		close(r.hangUp)
		time.Sleep(500 * time.Millisecond) // it listens again after a second
		if s.count() == before {
			t.Error("nobody looked when changes were no longer heard")
		}
	})
}

func TestTheStoreIsListenedToAsLongAsThereAreWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen, Linger: time.Minute}
		w := backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Second, Wakes: wakes}
		for range 3 {
			over := waiting(t, "ana", "1", w)
			s.change(func(s *shop) { s.version = "2" })
			time.Sleep(2 * time.Second)
			wantOver(t, over, nil)
			s.change(func(s *shop) { s.version = "1" })
		}
		if !r.works() || r.calls != 1 {
			t.Errorf("Listen was called %d times for waits that came one after the other", r.calls)
		}
		if want := []string{"ana", "ana", "ana"}; !slices.Equal(r.come, want) || !slices.Equal(r.gone, want) {
			t.Errorf("%q came and %q went", r.come, r.gone)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if r.works() {
			t.Error("it goes on though nobody waits")
		}
	})
}

func TestAListenThatReturnsIsCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := held(), newRadio()
		wakes := &backend.Wakes{Listen: r.listen}
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: time.Minute, Last: time.Minute, Wakes: wakes})
		first := r.news
		first.Heard("ana")
		r.hangUp <- struct{}{}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.calls != 2 || !slices.Equal(r.come, []string{"ana", "ana"}) {
			t.Fatalf("it was called %d times, and told of %q", r.calls, r.come)
		}
		r.news.Saved("ana", "2")
		wantOver(t, over, nil)
	})
}

// Listen may be about to tell the store that nobody waits when somebody does again.
func TestANameThatWentAndCameIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		var news *backend.News
		wakes := &backend.Wakes{Listen: func(ctx context.Context, n *backend.News) {
			news = n
			<-ctx.Done()
		}}
		w := backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Second, Wakes: wakes, Heard: time.Hour}
		waiting(t, "bob", "1", w) // so that the store is listened to
		ctx, leave := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- backend.Wait(ctx, origin.Op("wait", "ana"), "1", w) }()
		synctest.Wait()
		news.Names()
		news.Heard("bob")
		news.Heard("ana")
		leave()
		<-over
		synctest.Wait()
		waiting(t, "ana", "1", w)
		if come, gone := news.Names(); len(come)+len(gone) > 0 {
			t.Errorf("%q came and %q went", come, gone)
		}
		time.Sleep(10 * time.Second)
		before := s.count()
		time.Sleep(10 * time.Second)
		if n := s.count() - before; n > 0 {
			t.Errorf("there were %d looks in 10 seconds though changes are told", n)
		}
	})
}

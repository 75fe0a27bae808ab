package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gorm.io/gorm"
)

// line is an Options.Listen whose other end the test holds.
type line struct {
	open  int // how many there are
	calls int // how many there were
	heard func(payload string)
	cut   chan error
}

func (l *line) listen(ctx context.Context, channel string, heard func(payload string)) error {
	l.open++
	l.calls++
	defer func() { l.open-- }()
	l.heard = heard
	select {
	case err := <-l.cut:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newLine() (*line, *wakes) {
	l := &line{cut: make(chan error)}
	return l, &wakes{listen: l.listen}
}

func isWoken(woken <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-woken:
		return true
	default:
		return false
	}
}

func TestAllWaitersShareOneListeningConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLine()
		a, leaveA := w.join("a")
		b, leaveB := w.join("b")
		if isWoken(a) || l.open != 1 || w.live() {
			t.Fatalf("before it listens: %d lines, live %v", l.open, w.live())
		}
		l.heard("")
		if !isWoken(a) || !isWoken(b) || !w.live() {
			t.Error("as soon as it listens all must look")
		}
		late, leaveLate := w.join("a")
		if !isWoken(late) {
			t.Error("who comes later must look too: it was said before")
		}
		l.heard("a")
		if !isWoken(a) || !isWoken(late) || isWoken(b) {
			t.Error("what is said wakes those who wait for it, and nobody else")
		}
		leaveLate()
		leaveA()
		l.heard("b")
		l.heard("b") // nobody has looked in between
		if isWoken(a) || !isWoken(b) {
			t.Error("who left is woken, or who stays isn't")
		}
		leaveB()
		time.Sleep(linger - time.Second)
		synctest.Wait()
		if l.open != 1 {
			t.Error("the line goes at once, and must be dialled again for who only looked")
		}
		_, leave := w.join("a")
		time.Sleep(2 * linger)
		synctest.Wait()
		if l.open != 1 || l.calls != 1 {
			t.Errorf("with somebody waiting there are %d lines, of %d", l.open, l.calls)
		}
		leave()
		time.Sleep(linger)
		synctest.Wait()
		if l.open != 0 || w.live() {
			t.Errorf("with nobody waiting there are %d lines", l.open)
		}
		l.heard("") // by the one that is gone
		again, leave := w.join("a")
		if isWoken(again) || l.open != 1 || w.live() {
			t.Errorf("who comes then has %d lines, live %v", l.open, w.live())
		}
		leave()
		time.Sleep(linger)
	})
}

func TestAListeningConnectionThatBreaksIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLine()
		woken, leave := w.join("a")
		synctest.Wait()
		l.heard("")
		if !isWoken(woken) {
			t.Fatal("not woken")
		}
		l.cut <- errors.New("cut")
		if !isWoken(woken) || w.live() {
			t.Error("when it breaks all must look, and go on doing so")
		}
		time.Sleep(redial)
		synctest.Wait()
		if l.open != 1 || l.calls != 2 || w.live() {
			t.Errorf("a second later there are %d lines, of %d, live %v", l.open, l.calls, w.live())
		}
		l.heard("a")
		if !isWoken(woken) {
			t.Error("the new line wakes nobody")
		}
		l.cut <- errors.New("cut")
		leave()
		time.Sleep(linger)
		synctest.Wait()
		if l.open != 0 {
			t.Errorf("with nobody waiting there are %d lines", l.open)
		}
	})
}

func TestAListeningConnectionThatAlwaysBreaksIsNotOpenedInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		w := &wakes{listen: func(context.Context, string, func(string)) error { calls.Add(1); return nil }}
		_, leave := w.join("a")
		time.Sleep(10*redial + redial/2)
		synctest.Wait()
		if n := calls.Load(); n != 11 || w.live() {
			t.Errorf("in ten seconds it is dialled %d times, live %v", n, w.live())
		}
		leave()
		time.Sleep(linger)
	})
}

// mute is a database that takes statements and doesn't answer.
type mute struct {
	gorm.ConnPool
	asked, open atomic.Int64
}

func (m *mute) QueryContext(ctx context.Context, _ string, _ ...any) (*stdsql.Rows, error) {
	m.asked.Add(1)
	m.open.Add(1)
	defer m.open.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAWaiterCanLeaveADatabaseThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(mute)
		b := &Backend{pool: m, sql: dialects["sqlite"].statements("t", false)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := b.Wait(ctx, "k", "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v Wait = %v", time.Since(begun), err)
		}
		time.Sleep(lookTimeout)
		synctest.Wait()
		if m.asked.Load() != 1 || m.open.Load() != 0 {
			t.Errorf("it was asked %d times, and %d still wait", m.asked.Load(), m.open.Load())
		}
		begun = time.Now()
		if err := b.Wait(t.Context(), "k", "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != firstPause+lookTimeout {
			t.Errorf("who has all the time: after %v Wait = %v", time.Since(begun), err)
		}
	})
}

package sql

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
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

func TestAllWhoWaitShareOneLine(t *testing.T) {
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

func TestALineThatBreaksIsDialledAgain(t *testing.T) {
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

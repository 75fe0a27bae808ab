package core

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Observer is told what a store does. Several goroutines call Observe at once, and the
// store waits for it, so it has to return quickly: EventHit comes with every call that a
// kept token answers.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// Event is one operation of a store, successful or not.
type Event struct {
	Name     EventName
	Key      string
	Duration time.Duration
	Err      error // nil if the operation succeeded
}

// EventName says what happened.
type EventName string

// The names of events.
const (
	EventHit      EventName = "hit"      // a token source returned a token that is kept in the process
	EventLoad     EventName = "load"     // the backend was asked for a record; Err is nil if there is none
	EventSave     EventName = "save"     // the backend was given a record; ErrConflict is usual
	EventRefresh  EventName = "refresh"  // the refresh function ran
	EventSignIn   EventName = "sign-in"  // the tokens of a sign-in were stored; see Store.Put
	EventWait     EventName = "wait"     // a refresh waited for another holder of the record's lease
	EventTakeover EventName = "takeover" // the lease was taken after a wait, and the record was not refreshed: its holder died or failed
	EventMerge    EventName = "merge"    // another process had saved meanwhile, and a save was merged with that
	EventBackoff  EventName = "back-off" // nothing was asked, because it failed a moment ago with Err
	EventUnsaved  EventName = "unsaved"  // new tokens could not be saved, and are kept in the process
)

// levelOf is the level at which an event is logged. At Info, a healthy program shows its
// sign-ins and refreshes, and at Warn, a failing one shows why.
func levelOf(name EventName, err error) slog.Level {
	switch {
	case name == EventUnsaved, name == EventTakeover,
		err != nil && name != EventBackoff && !errors.Is(err, ErrConflict) && !errors.Is(err, context.Canceled):
		return slog.LevelWarn
	case name == EventSignIn, name == EventRefresh:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (s *Store) observe(ctx context.Context, name EventName, key string, start time.Time, err error) {
	s.observed(ctx, name, key, s.now().Sub(start), err)
}

func (s *Store) observed(ctx context.Context, name EventName, key string, d time.Duration, err error) {
	level := levelOf(name, err)
	if s.log.Enabled(ctx, level) {
		attrs := []slog.Attr{slog.String("key", key), slog.Duration("duration", d)}
		if err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
		}
		s.log.LogAttrs(ctx, level, "graphtoken: "+string(name), attrs...)
	}
	if s.observer != nil {
		s.observer.Observe(ctx, Event{Name: name, Key: key, Duration: d, Err: err})
	}
}

// observeHit tells the observer alone: a log has no use for what costs nothing.
func (s *Store) observeHit(ctx context.Context, key string) {
	if s.observer != nil {
		s.observer.Observe(ctx, Event{Name: EventHit, Key: key})
	}
}

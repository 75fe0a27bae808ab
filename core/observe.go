package core

import (
	"context"
	"log/slog"
	"time"
)

// Observer is told what a store does. The store waits for Observe, so it has to return
// quickly.
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
	EventLoad    EventName = "load"    // the backend was asked for a record; Err is nil if there is none
	EventSave    EventName = "save"    // the backend was given a record; ErrConflict is usual
	EventRefresh EventName = "refresh" // the refresh function ran
	EventUnsaved EventName = "unsaved" // new tokens could not be saved, and are kept in the process
)

func (s *Store) observe(ctx context.Context, name EventName, key string, start time.Time, err error) {
	d := s.now().Sub(start)
	level := slog.LevelDebug
	if err != nil && name != EventLoad && name != EventSave {
		level = slog.LevelWarn
	}
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

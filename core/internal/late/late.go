// Package late asks a store for something that must be given back when its caller
// has left before the answer came.
package late

import (
	"context"
	"time"
)

// timeout bounds a question, which no caller's context does.
const timeout = 30 * time.Second

// Take returns what take does, or ctx's error as soon as ctx is done. take runs with
// a context of its own that ends after 30 seconds; what it returns after the caller
// has left is handed to giveBack, in the background.
func Take[T any](ctx context.Context, take func(context.Context) (T, error), giveBack func(context.Context, T)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err // and nothing is asked for
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer) // not buffered: an answer is received, or the caller has left
	go func() {
		defer cancel()
		value, err := take(detached)
		select {
		case answers <- answer{value, err}:
		case <-ctx.Done():
			if err == nil {
				giveBack(context.WithoutCancel(ctx), value)
			}
		}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

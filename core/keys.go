package core

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Keys returns the keys of the records that the backend has, in no particular order,
// if the backend is a [Lister]; otherwise one error that wraps [errors.ErrUnsupported].
// The sequence ends after the first error. A record that could not be saved yet is not
// among them.
func (s *Store) Keys(ctx context.Context) iter.Seq2[string, error] {
	if l, ok := As[Lister](s.backend); ok {
		return l.Keys(ctx)
	}
	return func(yield func(string, error) bool) {
		yield("", s.fail("list", "", fmt.Errorf("the backend can't list its records: %w", errors.ErrUnsupported)))
	}
}

package core

import (
	"fmt"
	"io"
	"unique"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Package fmt prints fields that aren't exported without a call of their methods. So
// these types print their name alone.

// Format prints the store without its contents.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[token store]") }

// Format prints the source without its contents.
func (ts *TokenSource) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[token source of %q]", ts.key)
}

// Format prints the option's kind, and not its value.
func (o TokenOption) Format(f fmt.State, _ rune) {
	name := "MinValidity"
	switch {
	case o.claims != "":
		name = "Claims"
	case o.rejected != (unique.Handle[tokencache.Secret]{}):
		name = "Rejected"
	}
	_, _ = io.WriteString(f, "["+name+"]")
}

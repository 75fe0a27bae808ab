package core

import (
	"fmt"
	"io"
	"unique"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Package fmt prints unexported fields without asking their types, so what
// leads to a secret prints as its name.

// Format prints the store without what it holds.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[token store]") }

// Format prints the source without what it holds.
func (ts *TokenSource) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[token source of %q]", ts.key)
}

// Format prints which option it is, and not its value.
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

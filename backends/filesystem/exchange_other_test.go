//go:build !linux

package filesystem

import "os"

// exchange swaps two names, in as few steps as there are.
func exchange(a, b string) error {
	between := a + ".between"
	if err := os.Rename(a, between); err != nil {
		return err
	}
	if err := os.Rename(b, a); err != nil {
		return err
	}
	return os.Rename(between, b)
}

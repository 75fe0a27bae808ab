package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// readNamed reads the file that a flag names.
func readNamed(flag, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unread(flag, path, err)
	}
	return data, nil
}

// unread returns why the file that a flag names could not be read. It shows the name only
// if there is such a file: some users give the secret itself to a flag that wants a file
// of secrets.
func unread(flag, path string, err error) error {
	var cause *fs.PathError
	isPath := errors.As(err, &cause)
	if _, missing := os.Lstat(path); missing == nil {
		if isPath {
			err = cause
		}
		return &flagError{flag, fmt.Errorf("%s: %w", flag, err)}
	}
	if isPath {
		err = cause.Err
	}
	return &flagError{flag, fmt.Errorf("%s: the file it names can't be opened (its name isn't shown, it may be a secret): %w", flag, err)}
}

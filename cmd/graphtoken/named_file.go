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

// namedFile is a file that a flag names.
type namedFile struct{ flag, path string }

// secretFiles are the files of secrets that shared flags name, without --key-file, which
// has --shared-key-file.
func (s *session) secretFiles() []namedFile {
	return []namedFile{
		{"--client-secret-file", s.ClientSecretFile}, {"--certificate", s.Certificate}, {"--federated-token-file", s.FederatedTokenFile},
	}
}

// othersCanUse reports whether other users can read or write a file, by its mode.
func othersCanUse(path string) (mode os.FileMode, can bool) {
	info, err := os.Stat(path)
	if err != nil || !hasModes {
		return 0, false
	}
	return info.Mode().Perm(), info.Mode().Perm()&0o077 != 0
}

// warn tells of a file with a secret that other users can read or write, as ssh does of its
// keys. A program that has used such a file for years goes on.
func (f namedFile) warn(c *console) {
	if mode, can := othersCanUse(f.path); can {
		c.say("Warning: other users can read or write %s (mode %04o), which %s names: chmod 600 it.", f.path, mode, f.flag)
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// configDirectory is where graphtoken keeps files of its own for this user.
func configDirectory() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("there is no configuration directory for this user: %w", err)
	}
	return filepath.Join(dir, "graphtoken"), nil
}

// savePrivate replaces a file as a whole. A new file, and its directory if that is new,
// are this user's alone. A link stays one, because configuration is often kept elsewhere.
func savePrivate(ctx context.Context, path string, data []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	if err := atomicfile.MakeDirectories(dir); err != nil {
		return err
	}
	if err := atomicfile.CheckDirectory(dir); err != nil {
		return err
	}
	return atomicfile.ReplacePath(ctx, path, data)
}

// readPrivate reads a file that nobody else can have written, and, if it is secret, read.
func readPrivate(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := atomicfile.CheckDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var others os.FileMode = 0o022
	if secret {
		others = 0o077
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&others != 0 {
		return nil, fmt.Errorf("other users can change or read %s (mode %04o): chmod 600 it if its content is yours", path, mode)
	}
	return atomicfile.ReadFile(path) // which knows a file that was written in place
}

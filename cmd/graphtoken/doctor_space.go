package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core"
)

// room is what a file system has left for a user without privileges. files is negative
// where their number isn't limited.
type room struct{ bytes, files int64 }

// The room that a file system should have. A save needs a second copy of the record for a
// moment, and a lock or a lease one file each.
const (
	scarceBytes, tooFewBytes = 16 << 20, 1 << 20
	scarceFiles, tooFewFiles = 1000, 16
)

// diskSpace looks at the file system that has the record, or will have it.
func (d *checkup) diskSpace(context.Context) []finding {
	if d.Path == "" {
		return nil
	}
	dir, err := nearest(d.Path)
	if err != nil {
		return nil // directory and file tell
	}
	left, known := d.roomAt(dir)
	if !known {
		return nil
	}
	const advice = "Make room there, or move the record to another disk: graphtoken copy."
	limited := left.files >= 0
	switch {
	case left.bytes < tooFewBytes || limited && left.files < tooFewFiles:
		return []finding{bad(advice, "%s: a refreshed token can't be saved there", left.at(dir))}
	case left.bytes < scarceBytes || limited && left.files < scarceFiles:
		return []finding{risky(advice, "%s", left.at(dir))}
	}
	return nil
}

func (r room) at(dir string) string {
	if r.files < 0 {
		return fmt.Sprintf("the file system of %s has room for %s", dir, size(r.bytes))
	}
	return fmt.Sprintf("the file system of %s has room for %s and %d files", dir, size(r.bytes), r.files)
}

// nearest is the first directory above path that exists.
func nearest(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			return path, nil
		}
		if parent := filepath.Dir(path); parent != path && (err == nil || errors.Is(err, os.ErrNotExist)) {
			path = parent
			continue
		}
		return "", err
	}
}

// space asks a store that knows how full it is, also if it is too full for anything else.
func (d *checkup) space(ctx context.Context) []finding {
	reporter, ok := core.As[core.SpaceReporter](d.Backend)
	if !ok {
		return nil
	}
	used, most, err := reporter.Space(ctx)
	const advice = "Give the store more memory, or remove what it holds besides tokens: a full one refuses to save a refreshed token."
	switch {
	case err != nil && !d.isReachable(ctx):
		return nil
	case err != nil:
		return []finding{good("the store doesn't tell how full it is: %v", err)}
	case most == 0:
		return []finding{good("the store has no limit of its own")}
	case used >= most/100*99:
		return []finding{bad(advice, "%s of %s are in use", size(used), size(most))}
	case used >= most/100*90:
		return []finding{risky(advice, "%s of %s are in use", size(used), size(most))}
	}
	return []finding{good("%s of %s are in use", size(used), size(most))}
}

// nearLimit looks how near a record is to the most that the store can hold.
func (d *checkup) nearLimit(key string, n int64) []finding {
	limiter, ok := core.As[core.SizeLimiter](d.Backend)
	if !ok || limiter.MaxSize() <= 0 {
		return nil
	}
	most := int64(limiter.MaxSize())
	const advice = "Give each user a record of their own (docs/which-key.md), or remove users who left: graphtoken purge."
	switch {
	case n >= most/100*95:
		return []finding{bad(advice, "%s has %s, and %s fit: the next save may be refused", key, size(n), size(most))}
	case n >= most/4*3:
		return []finding{risky(advice, "%s has %s, and %s fit", key, size(n), size(most))}
	}
	return nil
}

// size is a number of bytes for people to read.
func size(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 10<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", (bytes+1<<10-1)>>10)
}

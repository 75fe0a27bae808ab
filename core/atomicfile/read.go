package atomicfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ReadFile returns the content of the file at path, as [Read] does. If the file isn't a
// regular one, such as a pipe, it is read to its end.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return io.ReadAll(f)
	}
	data, _, err := Read(f, info)
	return data, err
}

// Read returns the content of an open file from which nothing has been read yet, and the
// file's information at that time; info is f's own. If the file is written in place
// meanwhile, or was when its writer died, it is read again until the content is whole:
// the old one, or the new one. Without such writers, Read costs one Stat more than the
// bytes. If no copy in the file is whole, the error wraps [ErrTorn].
func Read(f *os.File, info fs.FileInfo) ([]byte, fs.FileInfo, error) {
	raw, err := readAt(f, info.Size())
	if err != nil {
		return nil, nil, err
	}
	for try := 0; ; try++ {
		now, err := f.Stat()
		if err != nil {
			return nil, nil, err
		}
		if now.Size() == info.Size() && now.ModTime().Equal(info.ModTime()) && int64(len(raw)) == now.Size() && atRest(now.ModTime()) {
			break
		}
		// The file changed, or may have within one tick of the file system's clock.
		// Two readings that agree aren't half of one content and half of another:
		// by the second reading, the other content has its mark or is whole.
		again, err := readAt(f, now.Size())
		if err != nil {
			return nil, nil, err
		}
		same := bytes.Equal(raw, again)
		raw, info = again, now
		if same {
			break
		}
		if try == maxReads {
			return nil, nil, &fs.PathError{Op: "read", Path: f.Name(), Err: errKeepsChanging}
		}
		if try > 2 {
			time.Sleep(time.Millisecond)
		}
	}
	data, _, err := content(raw)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	return data, info, nil
}

// maxReads limits how often a file that keeps changing is read.
const maxReads = 50

var errKeepsChanging = errors.New("the file keeps changing, so it can't be read as a whole")

func readAt(f *os.File, size int64) ([]byte, error) {
	raw := make([]byte, size)
	n, err := f.ReadAt(raw, 0)
	if err == io.EOF {
		err = nil // another program has just truncated the file
	}
	return raw[:n], err
}

// atRest reports whether the file system's clock has ticked since: a later change will
// have another date. Linux ticks at least 100 times a second; some file systems, such as
// FAT, keep even seconds only.
func atRest(modified time.Time) bool {
	tick := 15 * time.Millisecond
	if modified.Nanosecond() == 0 {
		tick = 2500 * time.Millisecond
	}
	return time.Since(modified) > tick
}

package filesystem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// rereads are the pauses before a broken file is read again: a program that writes in place,
// as python-o365 does, leaves the file empty for a moment.
var rereads = []time.Duration{time.Millisecond, 3 * time.Millisecond, 6 * time.Millisecond}

// Load implements [core.TokenBackend]. It takes no lock, because a record is replaced as
// a whole. A file that is empty, or a plain record that ends too early, is
// core.ErrCorrupt if it stays so for 10 ms; the error names the file. If a file is
// written in place by this package, or was when its writer died, its whole content
// counts: the old one or the new one.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, b.with(origin.Op("load", key)), func() (core.Record, error) {
		path := filepath.Join(b.dir, b.fileName(key))
		rec, err := read(path)
		for i := 0; errors.Is(err, core.ErrCorrupt) && i < len(rereads); i++ {
			if err := backend.Sleep(ctx, rereads[i]); err != nil {
				return core.Record{}, err
			}
			rec, err = read(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", core.ErrNotFound, err)
		}
		return rec, err
	})
}

// Check implements [core.TokenBackend]. A file is a record, even if it is broken.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, b.with(origin.Op("check", key)), func() (bool, error) {
		path := filepath.Join(b.dir, b.fileName(key))
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err == nil && !info.Mode().IsRegular():
			err = &fs.PathError{Op: "stat", Path: path, Err: atomicfile.ErrNotRegular}
		}
		return err == nil, err
	})
}

// read reads the record at path, with as many system calls as os.ReadFile.
func read(path string) (core.Record, error) {
	f, info, err := atomicfile.Open(path)
	if err != nil {
		return core.Record{}, err
	}
	defer f.Close()
	data, info, err := atomicfile.Read(f, info)
	if err != nil {
		return core.Record{}, err
	}
	if flaw := flawOf(data); flaw != "" {
		return core.Record{}, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: %s", core.ErrCorrupt, flaw)}
	}
	return core.Record{Data: data, Version: versionOf(data), Modified: info.ModTime()}, nil
}

// flawOf describes the fault of a record that can't be whole. It can't tell of an
// encrypted record. Of a plain record it is certain, because a JSON object that was cut
// off has opened more braces than it closed.
func flawOf(data []byte) string {
	switch data := bytes.TrimSpace(data); {
	case len(data) == 0:
		return "the file is empty"
	case isPlain(data) && bytes.Count(data, []byte{'{'}) > bytes.Count(data, []byte{'}'}) && !json.Valid(data):
		// Counting alone is quick, but braces in strings deceive it.
		return fmt.Sprintf("the file ends in the middle, after %d bytes", len(data))
	}
	return ""
}

// isPlain reports whether data begins as a JSON object with a member does, in readable
// text. No ciphertext does so by chance.
func isPlain(data []byte) bool {
	for _, c := range data[:min(len(data), 64)] {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return data[0] == '{' && bytes.HasPrefix(bytes.TrimLeft(data[1:], " \r\n\t"), []byte{'"'})
}

// versionOf makes the version of a record from its content: its length and two independent
// CRCs, so that one change in 2⁶⁴ isn't noticed. It depends on the whole content and on
// nothing else. So another program's save is a new version, and a copy of the directory
// has the old versions.
//
// It is no cryptographic digest, and needn't be: a program that can choose the content of
// the file doesn't need collisions. SHA-256 was measured: it takes 3.3 µs of the 8 µs in
// which 6 KB are read, and for 1 MB more than reading; this takes 0.4 µs and 0.07 ms.
func versionOf(data []byte) core.Version {
	sum := uint64(crc32.Checksum(data, castagnoli))<<32 | uint64(crc32.ChecksumIEEE(data))
	version := strconv.AppendInt(make([]byte, 0, 32), int64(len(data)), 10)
	return core.Version(strconv.AppendUint(append(version, '-'), sum, 16))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// buffers are for records of which only the version is wanted.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// storedVersion is the version of the file, or Absent.
func storedVersion(path string) (core.Version, error) {
	f, info, err := atomicfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return core.Absent, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(raw)
	raw.Reset()
	if _, err := raw.ReadFrom(f); err != nil {
		return "", err
	}
	if !atomicfile.Marked(raw.Bytes()) {
		return versionOf(raw.Bytes()), nil
	}
	data, _, err := atomicfile.Read(f, info)
	if errors.Is(err, atomicfile.ErrTorn) { // the whole file counts as the content, as it does for the next save
		data, err = raw.Bytes(), nil
	}
	if err != nil {
		return "", err
	}
	return versionOf(data), nil
}

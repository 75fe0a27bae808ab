package atomicfile

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// A write in place goes through these states. Each is durable before the next one begins.
// The numbers are offsets. block is 4096, and base is the first multiple of block that
// neither the old content nor the new one reaches.
//
//	0: old                                                          plain
//	0: old            base: mark of 0, old                          old
//	0: old            base: mark of 0, old   +block: new … (cut)    old
//	0: old            base: mark of 0, old   +block: new   mark     new
//	0: new over old   base: mark of 0, old   +block: new   mark     new
//	0: new                                                          plain
//
// The content of a file is the copy to which its last mark points, of the marks whose copy
// is whole. A file without marks is all content. A mark lies at a multiple of block, and so
// within one page: a kill leaves all of it or nothing. Nothing outside of the file is
// needed, because a container's other files can disappear with the container.
const block = 4096

// mark points at a copy of the content in the same file:
//
//	magic (32 bytes), offset (8), length (8), SHA-256 of the copy (32), CRC-32 of what is before (4)
const markSize = len(magic) + 8 + 8 + sha256.Size + 4

// magic is in no text, and in no ciphertext by chance.
const magic = "\x00graphtoken write in place\xff\x91\xc3\x1e\x07\x00"

func appendMark(b []byte, offset int64, copied []byte) []byte {
	begin := len(b)
	sum := sha256.Sum256(copied)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = binary.BigEndian.AppendUint64(b, uint64(len(copied)))
	b = append(b, sum[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[begin:]))
}

// copyAt returns the copy in raw to which the mark at the beginning of b points. ok is false
// if the mark or the copy isn't whole.
func copyAt(raw, b []byte) (copied []byte, ok bool) {
	if len(b) < markSize || crc32.ChecksumIEEE(b[:markSize-4]) != binary.BigEndian.Uint32(b[markSize-4:markSize]) {
		return nil, false
	}
	b = b[len(magic):]
	offset, length := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if size := uint64(len(raw)); offset > size || length > size-offset {
		return nil, false
	}
	copied = raw[offset : offset+length]
	return copied, [sha256.Size]byte(b[16:16+sha256.Size]) == sha256.Sum256(copied)
}

// ErrTorn: a write in place was cut off, and no copy of the content is whole. A power
// failure can cause that, if the disk loses data that it reported as written. It is a
// core.ErrCorrupt.
var ErrTorn = fmt.Errorf("%w: a write in place was cut off, and its copies are damaged", core.ErrCorrupt)

// content returns the content of a file that was read as a whole, and whether it has
// marks: raw itself or, if a write in place is under way or was cut off, the copy that
// counts. It returns ErrTorn if no copy is whole.
func content(raw []byte) (data []byte, marked bool, err error) {
	data = raw
	whole := true
	for at := block; at < len(raw); at += block {
		if !markedAt(raw, at) {
			continue
		}
		copied, ok := copyAt(raw, raw[at:])
		switch {
		case ok:
			data, whole = copied, true
		case !marked:
			whole = false
		}
		marked = true
	}
	if !whole {
		return nil, true, ErrTorn
	}
	return data, marked, nil
}

// Marked reports whether raw, all bytes of a file, has marks: the file is being written in
// place, or was when its writer died. Then [Read] finds its content.
func Marked(raw []byte) bool {
	for at := block; at < len(raw); at += block {
		if markedAt(raw, at) {
			return true
		}
	}
	return false
}

func markedAt(raw []byte, at int) bool {
	return len(raw)-at >= len(magic) && string(raw[at:at+len(magic)]) == magic
}

// file has the methods of an *os.File that this file uses.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Truncate(size int64) error
}

// writeInPlace writes through the states above, or changes nothing.
func writeInPlace(ctx context.Context, dir *os.Root, r Replacement) error {
	f, err := openInPlace(ctx, dir, r.Name)
	if err != nil {
		return err
	}
	defer f.Close() // this also unlocks the file
	if err := change(f, r.Data, r.Confirm); err != nil {
		return err
	}
	return StillNamed(dir, r.Name, f)
}

// change is writeInPlace for a file that is locked.
func change(f file, data []byte, confirm func(stored []byte) error) error {
	old, err := settle(f)
	if err != nil {
		return err
	}
	if confirm != nil {
		if err := confirm(old); err != nil {
			return err
		}
	}
	if err := prepare(f, align(max(len(old), len(data))), old, data); err != nil {
		// The old content is as it was.
		if undo := f.Truncate(int64(len(old))); undo == nil {
			_ = f.Sync()
		}
		return err
	}
	// The new content counts from here on. If a later step fails, the next writer
	// completes it.
	_ = finish(f, data)
	return nil
}

// prepare appends both copies.
func prepare(f file, base int64, old, data []byte) error {
	if _, err := f.WriteAt(appendMark(nil, 0, old), base); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// finish must not find a hole in the file: the disk may be full by then.
	if _, err := f.WriteAt(make([]byte, base-int64(len(old))), int64(len(old))); err != nil {
		return err
	}
	at := base + block
	if _, err := f.WriteAt(data, at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.WriteAt(appendMark(nil, at, data), align(int(at)+len(data))); err != nil {
		return err
	}
	return f.Sync()
}

// finish makes a file plain whose last mark points at data.
func finish(f file, data []byte) error {
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	return f.Sync()
}

// settle returns the content, and completes what another writer began. If no copy is
// whole, the whole file is the content; Confirm decides whether it may be replaced.
func settle(f file) ([]byte, error) {
	raw, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return nil, err
	}
	data, marked, err := content(raw)
	if err != nil || !marked {
		return raw, nil
	}
	return data, finish(f, data)
}

func align(n int) int64 { return (int64(n) + block - 1) / block * block }

// lockPatience limits the wait for another writer in place. That takes a few fsyncs; a
// process that was stopped meanwhile isn't waited for.
const lockPatience = 10 * time.Second

// openInPlace opens the file to be written, locked against all other writers in place:
// also in other containers, which share the file and no other lock.
func openInPlace(ctx context.Context, dir *os.Root, name string) (*os.File, error) {
	f, err := OpenIn(dir, name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockPatience); err == nil; err = ctx.Err() {
		var locked bool
		if locked, err = lockInPlace(f); locked {
			return f, nil
		}
		if err == nil && time.Now().After(end) {
			err = &fs.PathError{Op: "lock", Path: f.Name(), Err: fmt.Errorf("still held after %v: %w", lockPatience, os.ErrDeadlineExceeded)}
		}
		if err != nil {
			break
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
	f.Close()
	return nil, err
}

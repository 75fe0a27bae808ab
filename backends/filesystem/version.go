package filesystem

import (
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"sync"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// digest makes the version of a record from its content: its length and two
// independent CRCs, so that one change in 2⁶⁴ goes unnoticed. It is all of the
// content and nothing else, so that another program's save is a new version,
// and a copy of the directory has the old ones.
//
// It is no cryptographic digest, and needs not be: who can choose what is in
// the file has no need of collisions. SHA-256 was measured: 3.3 µs of the 8 µs
// that reading 6 KB takes, and at 1 MB more than reading it; this takes 0.4 µs
// and 0.07 ms.
type digest struct {
	size             int64
	castagnoli, ieee uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (d *digest) write(p []byte) {
	d.size += int64(len(p))
	d.castagnoli = crc32.Update(d.castagnoli, castagnoli, p)
	d.ieee = crc32.Update(d.ieee, crc32.IEEETable, p)
}

func (d *digest) version() core.Version {
	b := make([]byte, 0, 32)
	b = strconv.AppendInt(b, d.size, 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(d.castagnoli)<<32|uint64(d.ieee), 16)
	return core.Version(b)
}

func versionOf(data []byte) core.Version {
	var d digest
	d.write(data)
	return d.version()
}

// chunkSize is how much of a record is read at a time: it fits into the
// processor's cache.
const chunkSize = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// storedVersion is the version of the file, or Absent. It keeps no more than a
// chunk of the record in memory, but where it is being written in place.
func storedVersion(path string) (core.Version, error) {
	f, _, err := openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return core.Absent, nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	var d digest
	for {
		n, err := io.ReadFull(f, chunk[:])
		if isMarked(chunk[:n], d.size == 0) {
			return markedVersion(path)
		}
		d.write(chunk[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return d.version(), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// isMarked reports whether a chunk, at a multiple of its size, has a mark of a
// write in place.
func isMarked(chunk []byte, first bool) bool {
	const step = 4096
	at := 0
	if first {
		at = step
	}
	for ; at < len(chunk); at += step {
		if atomicfile.Marked(chunk[at:]) {
			return true
		}
	}
	return false
}

// markedVersion is the version of a file that is being written in place, or was
// when its writer died. Of one that has no whole copy, it is the version of all of it.
func markedVersion(path string) (core.Version, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, _, err := atomicfile.Read(f, info)
	if errors.Is(err, atomicfile.ErrTorn) {
		data, err = io.ReadAll(f)
	}
	if err != nil {
		return "", err
	}
	return versionOf(data), nil
}

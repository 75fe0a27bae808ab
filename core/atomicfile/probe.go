package atomicfile

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
)

// room is how much a file may grow from one content to the next, for Probe.
const room = 8 << 10

// Probe tries whether Replace could succeed, without a change to the file: it writes a
// temporary file that is a little larger than the file, gives it another name in the
// directory, and removes it. It needs r.Name and r.Temp.
func Probe(dir *os.Root, r Replacement) error {
	old, err := lstatRegular(dir, r.Name)
	if err != nil {
		return err
	}
	refusal := probeReplace(dir, r, old)
	switch {
	case old == nil, refusal != nil && !isRefusal(refusal):
		return refusal
	case refusal == nil:
		refusal = kept(dir, r.Name, old)
	}
	if err := probeInPlace(dir, r.Name, refusal); err != nil {
		if refusal == nil {
			return err
		}
		return bothReasons(refusal, err)
	}
	return nil
}

// ProbeFile is Probe without a temporary file: it opens the file to be written, and finds
// out whether another file could take its name.
func ProbeFile(dir *os.Root, name string) error {
	old, err := lstatRegular(dir, name)
	if err != nil || old == nil {
		return err
	}
	return probeInPlace(dir, name, kept(dir, name, old))
}

func probeReplace(dir *os.Root, r Replacement, old fs.FileInfo) error {
	if r.Temp == "" {
		return errNoTemp
	}
	size := int64(room)
	if old != nil {
		size += old.Size()
	}
	if err := writeTemp(dir, r.Temp, make([]byte, size), old); err != nil {
		return err
	}
	// No key of a backend has such a name.
	other := fmt.Sprintf("%%probe-%016x", rand.Uint64())
	err := rename(dir, r.Temp, other)
	if err == nil {
		return remove(dir, other)
	}
	_ = remove(dir, r.Temp)
	return err
}

// probeInPlace opens the file to be written. If another file may take its name, it need
// not be writable. But a file that nobody may change, whatever its mode, keeps its name
// too, and the attempt to open it tells.
func probeInPlace(dir *os.Root, name string, refusal error) error {
	f, err := dir.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		if refusal == nil && isDeniedByMode(err) {
			return nil
		}
		return Located(dir, err)
	}
	defer f.Close()
	if refusal == nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if free, known := freeSpace(f); known && free < 2*(info.Size()+room)+4*block {
		return &fs.PathError{Op: "write", Path: f.Name(), Err: errFull}
	}
	return nil
}

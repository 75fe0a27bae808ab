//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package terminal

import (
	"bufio"
	"io"
	"os"
)

// terminal is a terminal whose mode is changed. There is none on these systems.
type terminal struct{}

func open(io.Reader) *terminal { return nil }

func (*terminal) handOver() error { return nil }
func (*terminal) restore() error  { return nil }

// longest is the largest line that package os asks Windows' console for.
const longest = 10000

// lineReader asks a console for a whole line at a time. A line can't be longer than what
// the console is asked for (ReadConsole), and nothing after the line is read.
func lineReader(in io.Reader) io.Reader {
	file, ok := in.(*os.File)
	if !ok {
		return in
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return in
	}
	return bufio.NewReaderSize(in, longest)
}

package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// dying is a file whose writer is killed after so many pages and calls: what comes
// later has no effect. A write is cut only between pages, as the kernel does.
type dying struct {
	data  []byte
	steps int // until death; each page, sync and truncation is one
}

var errKilled = errors.New("killed")

func (d *dying) step() error {
	if d.steps == 0 {
		return errKilled
	}
	d.steps--
	return nil
}

func (d *dying) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, at)
}

func (d *dying) WriteAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		if err := d.step(); err != nil {
			return n, err
		}
		page := min(len(p)-n, block-int(at+int64(n))%block)
		if end := int(at) + n + page; end > len(d.data) {
			d.data = append(d.data, make([]byte, end-len(d.data))...)
		}
		copy(d.data[int(at)+n:], p[n:n+page])
		n += page
	}
	return n, nil
}

func (d *dying) Sync() error { return d.step() }

func (d *dying) Truncate(size int64) error {
	if err := d.step(); err != nil {
		return err
	}
	d.data = d.data[:size]
	return nil
}

func contentOf(c byte, size int) []byte { return bytes.Repeat([]byte{c}, size) }

func TestAWriterThatDiesInPlaceLeavesTheOldContentOrTheNew(t *testing.T) {
	for _, sizes := range [][2]int{{0, 1}, {1, 1}, {100, 9000}, {9000, 100}, {block, block}, {block - 1, block + 1}, {20000, 20000}, {3 * block, 1}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			old, data, third := contentOf('o', sizes[0]), contentOf('n', sizes[1]), contentOf('t', 5000)
			seen := map[string]bool{}
			for steps := 0; ; steps++ {
				f := &dying{data: bytes.Clone(old), steps: steps}
				err := change(f, data, nil)
				got, contentErr := wholeContent(f.data)
				isOld, isNew := bytes.Equal(got, old), bytes.Equal(got, data)
				if contentErr != nil || !isOld && !isNew || err == nil && !isNew {
					t.Fatalf("killed after %d steps (%v): %d bytes, %v", steps, err, len(got), contentErr)
				}
				seen[fmt.Sprint("old ", isOld)] = true
				// The next writer dies too, in any step of mending; the third doesn't.
				for again := range 20 {
					g := &dying{data: bytes.Clone(f.data), steps: again}
					_ = change(g, third, nil)
					after, err := wholeContent(g.data)
					if err != nil || !bytes.Equal(after, got) && !bytes.Equal(after, third) {
						t.Fatalf("killed after %d and %d steps: %d bytes, %v", steps, again, len(after), err)
					}
					g.steps = 1 << 20
					if err := change(g, third, nil); err != nil || !bytes.Equal(g.data, third) {
						t.Fatalf("after %d and %d steps, a whole write leaves %d bytes, %v", steps, again, len(g.data), err)
					}
				}
				if f.steps > 0 {
					if !bytes.Equal(f.data, data) {
						t.Fatalf("a whole write leaves %d bytes", len(f.data))
					}
					break
				}
			}
			if len(seen) != 2 && !bytes.Equal(old, data) {
				t.Errorf("only %v was seen: the test proves nothing", seen)
			}
		})
	}
}

func TestARefusedWriteInPlaceChangesNothing(t *testing.T) {
	f := &dying{data: []byte("old"), steps: 100}
	refused := errors.New("no")
	err := change(f, []byte("new"), func(stored []byte) error {
		if string(stored) != "old" {
			t.Errorf("asked about %q", stored)
		}
		return refused
	})
	if !errors.Is(err, refused) || string(f.data) != "old" {
		t.Errorf("%v, and the file is %q", err, f.data)
	}
}

func TestADamagedCopyIsErrTorn(t *testing.T) {
	f := &dying{data: []byte("old"), steps: 2} // the mark, and its sync
	if err := change(f, []byte("new"), nil); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	f.data[0] = 'X'
	if got, err := wholeContent(f.data); !errors.Is(err, ErrTorn) || got != nil {
		t.Errorf("Content = %q, %v", got, err)
	}
	f.steps = 100
	if err := change(f, []byte("new"), nil); err != nil || string(f.data) != "new" {
		t.Errorf("a write over it: %v, %q", err, f.data)
	}
}

func TestContentOfAPlainFileIsAllOfIt(t *testing.T) {
	for _, raw := range []string{"", "{}", strings.Repeat("x", 3*block), strings.Repeat("x", block) + magic[:31]} {
		if got, err := wholeContent([]byte(raw)); string(got) != raw || err != nil {
			t.Errorf("Content of %d bytes = %d bytes, %v", len(raw), len(got), err)
		}
	}
}

func wholeContent(raw []byte) ([]byte, error) {
	data, _, err := content(raw)
	return data, err
}

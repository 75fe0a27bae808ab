package conformance

import (
	"bytes"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func basics() []testCase {
	return []testCase{
		{"load-absent", must("Load of a key under which nothing is stored returns ErrNotFound."), 0,
			func(c *trial) {
				_, err := c.open().Load(c.ctx, key)
				c.wantErr(err, core.ErrNotFound, "Load(%q) from an empty store", key)
			}},
		{"check-absent", must("Check of a key under which nothing is stored returns false, without an error."), 0,
			func(c *trial) {
				if ok, err := c.open().Check(c.ctx, key); ok || err != nil {
					c.Errorf("Check(%q) in an empty store = %v, %v; want false, nil", key, ok, err)
				}
			}},
		{"delete-absent", must("Delete of a key under which nothing is stored is no error, however often it is called."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.delete(a, key)
				c.delete(b, key)
				c.save(a, key, text(1))
				c.delete(a, key)
				c.delete(a, key)
				c.delete(b, key)
			}},
		{"round-trip", must("Load returns what Save stored, through every handle on the store."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				for _, handle := range []core.TokenBackend{a, b, c.open()} {
					c.wantRecord(handle, key, text(1))
				}
			}},
		{"overwrite", must("Save with AnyVersion replaces the whole record, also by a longer or shorter one, whichever handle saved it."), 0,
			func(c *trial) {
				a, b := c.pair()
				long, short := append(text(1), bytes.Repeat([]byte(" and more"), 100)...), text(2)
				for _, data := range [][]byte{text(0), long, short, long, short[:1]} {
					c.save(a, key, data)
					c.wantRecord(a, key, data)
					c.wantRecord(b, key, data)
					a, b = b, a
				}
			}},
		{"fresh-reads", must("Load and Check return what the store has now, not what the handle saw before."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.wantNone(b, key)
				c.save(a, key, text(1))
				c.wantRecord(b, key, text(1))
				c.save(a, key, text(2))
				c.wantRecord(b, key, text(2))
				c.wantRecord(a, key, text(2))
				c.delete(a, key)
				c.wantNone(b, key)
				c.save(b, key, text(3))
				c.wantRecord(a, key, text(3))
			}},
		{"delete", must("After Delete nothing is stored, for every handle, and the key can be saved again."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				c.delete(b, key)
				c.wantNone(a, key)
				c.wantNone(b, key)
				c.save(a, key, text(2))
				c.wantRecord(b, key, text(2))
			}},
		{"keys-apart", must("An operation on one key changes no other."), 0,
			func(c *trial) {
				a, b := c.pair()
				const other = "other"
				c.save(a, key, text(1))
				c.save(b, other, text(2))
				c.wantRecord(b, key, text(1))
				c.wantRecord(a, other, text(2))
				c.save(a, key, text(3))
				c.wantRecord(a, other, text(2))
				c.delete(a, key)
				c.wantRecord(a, other, text(2))
				c.wantNone(b, key)
			}},
		{"saved-slice", must("A slice passed to Save is not retained: the caller may overwrite it."), 0,
			func(c *trial) {
				a, b := c.pair()
				v := c.absent()
				for i := range 3 {
					data := text(i)
					v = c.replace(a, key, data, v)
					scribble(data)
					c.wantRecord(a, key, text(i))
					c.wantRecord(b, key, text(i))
				}
				data := text(9)
				c.save(a, key, data)
				scribble(data)
				c.wantRecord(a, key, text(9))
				c.wantRecord(b, key, text(9))
			}},
		{"loaded-slice", must("A slice returned by Load belongs to the caller, to its last byte of capacity."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				c.save(a, "neighbour", text(2))
				first, second := c.load(a, key), c.load(a, key)
				scribble(first.Data[:cap(first.Data)])
				if !bytes.Equal(second.Data, text(1)) {
					c.Errorf("two Loads of one handle share their data")
				}
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantRecord(handle, key, text(1))
					c.wantRecord(handle, "neighbour", text(2))
				}
			}},
		{"reading", must("Load and Check change nothing: the version and the data stay as they are."), 0,
			func(c *trial) {
				a, b := c.pair()
				saved := c.save(a, key, text(1))
				for range 3 {
					c.wantRecord(a, key, text(1))
					c.wantRecord(b, key, text(1))
				}
				if now := c.load(a, key).Version; now != saved {
					c.Errorf("the version was %s after Save and is %s after reading", show(saved), show(now))
				}
				c.wantNone(b, "absent")
				c.wantNone(b, "absent")
			}},
		{"modified", must("Modified is the backend's own time of the last Save, or zero: Save ignores the Modified of the record that it gets."), 0,
			func(c *trial) {
				a := c.open()
				given := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
				if _, err := a.Save(c.ctx, key, core.Record{Data: text(1), Modified: given, Version: core.AnyVersion}); err != nil {
					c.Fatalf("Save: %v", err)
				}
				got := c.load(a, key).Modified
				if got.Equal(given) {
					c.Errorf("Load answers the Modified that Save was given, %v", got)
				}
				if again := c.load(a, key).Modified; !again.Equal(got) {
					c.Errorf("Modified is %v, and %v at the next Load: it is the time of the last Save, not of the Load", got, again)
				}
			}},
		{"concurrent", must("A backend is safe for concurrent use: goroutines that work on keys of their own don't disturb each other."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.together(8, func(i int) {
					mine, theirs := a, b
					if i%2 == 1 {
						mine, theirs = b, a
					}
					own := fmt.Sprintf("worker-%d", i)
					c.rounds(func(round int) {
						data := text(i*1000 + round)
						c.save(mine, own, data)
						c.wantRecord(theirs, own, data)
						c.delete(theirs, own)
						c.wantNone(mine, own)
					})
				})
			}},
	}
}

func scribble(data []byte) {
	for i := range data {
		data[i] = '#'
	}
}

package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

func versions() []testCase {
	return []testCase{
		{"shape", must("A version is not empty and does not begin with NUL."), 0,
			func(c *trial) {
				a := c.open()
				for _, v := range []core.Version{c.save(a, key, text(1)), c.load(a, key).Version} {
					if v == "" || strings.HasPrefix(string(v), "\x00") {
						c.Errorf("the version is %s", show(v))
					}
				}
			}},
		{"agree", must("The version that Save returns is the one that Load returns next, through every handle."), 0,
			func(c *trial) {
				a, b := c.pair()
				for i := range 3 {
					saved := c.save(a, key, text(i))
					for _, handle := range []core.TokenBackend{a, b} {
						if loaded := c.load(handle, key).Version; loaded != saved {
							c.Errorf("Save answered version %s, Load %s", show(saved), show(loaded))
						}
					}
				}
			}},
		{"change", must("Other data have another version than the record before, and than any earlier record of the key."), detects,
			func(c *trial) {
				a := c.open()
				seen := map[core.Version]int{}
				for i := range 10 {
					if i == 5 {
						c.delete(a, key)
					}
					v := c.save(a, key, text(i))
					if before, ok := seen[v]; ok {
						c.Errorf("record %d has the version %s that record %d had", i, show(v), before)
					}
					seen[v] = i
				}
			}},
		{"create-only", must("Save with Absent stores if nothing is stored; otherwise it returns ErrConflict and changes nothing."), detects,
			func(c *trial) {
				a, b := c.pair()
				first := c.replace(a, key, text(1), core.Absent)
				c.wantRecord(b, key, text(1))
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantConflict(handle, core.Absent, "Absent, over a record,")
					c.wantUntouched(handle, first, text(1))
				}
				c.delete(b, key)
				c.replace(a, key, text(3), core.Absent)
				c.wantRecord(b, key, text(3))
			}},
		{"zero", must("The zero Version is Absent: Save of a Record without a version creates, and never overwrites."), detects,
			func(c *trial) {
				a, b := c.pair()
				saved, err := a.Save(c.ctx, key, core.Record{Data: text(1)})
				if err != nil {
					c.Fatalf("Save of a Record without a version, where nothing is stored: %v", err)
				}
				c.wantUntouched(b, saved, text(1))
				for _, handle := range []core.TokenBackend{a, b} {
					for _, data := range [][]byte{text(2), text(1)} {
						_, err := handle.Save(c.ctx, key, core.Record{Data: data})
						c.wantErr(err, core.ErrConflict, "Save of a Record without a version, over a record,")
						c.wantUntouched(b, saved, text(1))
					}
				}
				c.delete(a, key)
				if _, err := b.Save(c.ctx, key, core.Record{Data: text(3)}); err != nil {
					c.Errorf("Save of a Record without a version, after a Delete: %v", err)
				}
				c.wantRecord(a, key, text(3))
			}},
		{"replace", must("Save with the stored version replaces the record, through whichever handle it was loaded."), detects,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(0))
				for i := 1; i < 4; i++ {
					v = c.replace(b, key, text(i), v)
					c.wantRecord(a, key, text(i))
					a, b = b, a
				}
				c.replace(b, key, text(9), c.load(a, key).Version)
				c.wantRecord(a, key, text(9))
			}},
		{"same-data", must("Save with the stored version succeeds also if it changes nothing, and returns the version that Load returns next."), detects,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				for _, handle := range []core.TokenBackend{a, b, b} {
					v = c.replace(handle, key, text(1), v)
					c.wantUntouched(a, v, text(1))
				}
				c.replace(a, key, text(2), v)
				c.wantRecord(b, key, text(2))
			}},
		{"another-key", must("Save with the version of another key's record returns ErrConflict."), detects,
			func(c *trial) {
				a, b := c.pair()
				others := c.save(a, "other", text(1))
				c.wantConflict(b, others, "the version of another key's record, where nothing is stored,")
				c.wantNone(a, key)
				v := c.save(b, key, text(2))
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantConflict(handle, others, "the version of another key's record")
					c.wantUntouched(handle, v, text(2))
				}
			}},
		{"stale", must("Save with a version that is no longer stored returns ErrConflict and changes nothing, neither data nor version."), detects,
			func(c *trial) {
				a, b := c.pair()
				first := c.save(a, key, text(1))
				loaded := c.load(b, key).Version
				second := c.replace(a, key, text(2), first)
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantConflict(handle, first, "the version before")
					c.wantConflict(handle, loaded, "the version before")
					c.wantUntouched(handle, second, text(2))
				}
				// Older versions are stale, too, not only the last one.
				third := c.save(b, key, text(3))
				c.wantConflict(a, first, "the version before the last")
				c.wantConflict(a, second, "the version before, since overwritten,")
				c.wantUntouched(a, third, text(3))
			}},
		{"unknown", must("Save with a version that the backend never made returns ErrConflict and changes nothing."), detects,
			func(c *trial) {
				a := c.open()
				// A star is any version in If-Match (RFC 9110 section 13.1.1).
				unknown := []core.Version{"no-such-version", "0", "999999999", core.Version(strings.Repeat("9", 40)), "*"}
				for _, v := range unknown {
					c.wantConflict(a, v, "version "+show(v)+", which nobody made, where nothing is stored,")
					c.wantNone(a, key)
				}
				saved := c.save(a, key, text(1))
				// A longer or shorter form of the stored version is another version, also for a
				// column that folds case or ignores spaces at the end.
				shorter, folded := saved[:len(saved)-1], core.Version(backend.SwapCase(string(saved)))
				for _, v := range append(unknown, saved+"0", saved+"x", saved+" ", shorter, folded) {
					if v != saved { // somebody counts from 0, and digits have no case
						c.wantConflict(a, v, "version "+show(v)+", which nobody made, over version "+show(saved))
						c.wantUntouched(a, saved, text(1))
					}
				}
			}},
		{"deleted", must("Save with the version of a deleted record returns ErrConflict; it neither brings the record back nor replaces its successor."), detects,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.delete(b, key)
				c.wantConflict(a, v, "the version of a deleted record")
				c.wantNone(a, key)
				c.wantNone(b, key)
				next := c.save(b, key, text(2))
				c.wantConflict(a, v, "the version of a deleted record, over its successor,")
				c.wantUntouched(a, next, text(2))
			}},
		{"any", must("Save with AnyVersion stores whatever was there before, and never returns ErrConflict."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				c.save(b, key, text(2))
				c.save(b, key, text(2))
				c.delete(a, key)
				c.save(b, key, text(3))
				c.wantRecord(a, key, text(3))
			}},
		{"any-concurrent", must("Writers with AnyVersion at the same time all succeed, each with a version of its own, and the record that stays has the version that its Save returned."), enforced,
			func(c *trial) {
				a, b := c.pair()
				c.rounds(func(round int) {
					got := make([]core.Version, 6)
					c.together(len(got), func(i int) {
						got[i] = c.save([]core.TokenBackend{a, b}[i%2], key, text(round*100+i))
					})
					if c.Failed() {
						return
					}
					rec := c.load(b, key)
					winner := slices.IndexFunc(got, func(v core.Version) bool { return v == rec.Version })
					if winner < 0 || string(rec.Data) != string(text(round*100+winner)) {
						c.Errorf("stored is %s under version %s, and the Saves answered %q", brief(rec.Data), show(rec.Version), got)
					}
					slices.Sort(got)
					if distinct := slices.Compact(slices.Clone(got)); len(distinct) < len(got) {
						c.Errorf("Saves of different data answered one version: %q", got)
					}
				})
			}},
		{"read-concurrent", must("Load returns data and version that belong together, also while others write."), enforced,
			func(c *trial) { c.readBesideWriters(text) }},
		{"concurrent-create", must("When many save with Absent at the same time, one succeeds and its record stays; the others get ErrConflict."), enforced,
			func(c *trial) {
				a, b := c.pair()
				c.rounds(func(round int) {
					c.oneWinner([]core.TokenBackend{a, b}, fmt.Sprintf("new-%d", round), core.Absent, func(i int) []byte { return text(100*round + i) })
				})
			}},
		{"concurrent-replace", must("When N replace one version at the same time, one succeeds and its record stays; N-1 get ErrConflict."), enforced,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(-1))
				c.rounds(func(round int) {
					v = c.oneWinner([]core.TokenBackend{a, b}, key, v, func(i int) []byte { return text(100*round + i) })
				})
			}},
		{"no-lost-update", must("Writers that load, edit, save with the version and begin again on ErrConflict lose none of their edits."), enforced,
			func(c *trial) {
				a, b := c.pair()
				const writers, edits = 4, 3
				c.replace(a, key, []byte("0"), core.Absent)
				c.rounds(func(round int) {
					c.together(writers, func(i int) {
						for range edits {
							c.increment([]core.TokenBackend{a, b}[i%2])
						}
					})
					if got, want := string(c.load(b, key).Data), strconv.Itoa((round+1)*writers*edits); got != want && !c.Failed() {
						c.Errorf("the counter is at %s after %s increments", got, want)
					}
				})
			}},
		{"delete-beside-save", must("After a Delete beside a Save with the stored version nothing is stored, whichever comes first: the saved record is deleted, or Save returns ErrConflict."), enforced,
			func(c *trial) {
				a, b := c.pair()
				c.rounds(func(round int) {
					v := c.save(a, key, text(2*round))
					c.together(2, func(i int) {
						if i == 0 {
							c.delete(a, key)
						} else if _, err := b.Save(c.ctx, key, core.Record{Data: text(2*round + 1), Version: v}); err != nil {
							c.wantErr(err, core.ErrConflict, "Save beside a Delete")
						}
					})
					c.wantNone(a, key)
				})
			}},
	}
}

// wantConflict expects that a Save with v is refused; what describes v.
func (c *trial) wantConflict(b core.TokenBackend, v core.Version, what string) {
	_, err := b.Save(c.ctx, key, core.Record{Data: []byte(`"refused"`), Version: v})
	c.wantErr(err, core.ErrConflict, "Save with %s", what)
}

// wantUntouched expects the record as it was before a refused Save.
func (c *trial) wantUntouched(b core.TokenBackend, v core.Version, data []byte) {
	c.wantRecord(b, key, data)
	if now := c.load(b, key).Version; now != v {
		c.Errorf("the version was %s before the Save that was refused and is %s after it", show(v), show(now))
	}
}

// readBesideWriters expects that the data and the version of a Load belong together.
// Records are told apart by their number.
func (c *trial) readBesideWriters(record func(n int) []byte) {
	a, b := c.pair()
	c.save(a, key, record(-1))
	c.rounds(func(round int) {
		const writers, readers = 2, 4
		var saved [writers]core.Version
		var loaded [readers]core.Record
		c.together(writers+readers, func(i int) {
			handle := []core.TokenBackend{a, b}[i%2]
			if i < writers {
				saved[i] = c.save(handle, key, record(round*10+i))
			} else {
				loaded[i-writers] = c.load(handle, key)
			}
		})
		if c.Failed() {
			return
		}
		for _, rec := range loaded {
			for i, v := range saved {
				if data := record(round*10 + i); (rec.Version == v) != bytes.Equal(rec.Data, data) {
					c.Errorf("Load = %s under version %s, and version %s is of %s", brief(rec.Data), show(rec.Version), show(v), brief(data))
				}
			}
		}
	})
}

// oneWinner lets many save over v at the same time, and returns the winner's version. No
// record may have been stored before: a digest couldn't tell them apart.
func (c *trial) oneWinner(handles []core.TokenBackend, key string, v core.Version, record func(i int) []byte) core.Version {
	got := make([]core.Version, 8)
	errs := make([]error, len(got))
	c.together(len(got), func(i int) {
		got[i], errs[i] = handles[i%len(handles)].Save(c.ctx, key, core.Record{Data: record(i), Version: v})
	})
	winner := -1
	for i, err := range errs {
		switch {
		case err != nil:
			c.wantErr(err, core.ErrConflict, "Save with %s beside others", show(v))
		case winner >= 0:
			c.Errorf("two of the Saves with %s succeeded", show(v))
		default:
			winner = i
		}
	}
	if winner < 0 {
		c.Fatalf("none of the Saves with %s succeeded", show(v))
	}
	c.wantRecord(handles[1], key, record(winner))
	if now := c.load(handles[0], key).Version; now != got[winner] {
		c.Errorf("the winner's Save answered version %s, Load answers %s", show(got[winner]), show(now))
	}
	return got[winner]
}

// increment adds one to the number in the record.
func (c *trial) increment(b core.TokenBackend) {
	for c.ctx.Err() == nil {
		rec := c.load(b, key)
		n, err := strconv.Atoi(string(rec.Data))
		if err != nil {
			c.Fatalf("Load = %s, want a number", brief(rec.Data))
		}
		_, err = b.Save(c.ctx, key, core.Record{Data: []byte(strconv.Itoa(n + 1)), Version: rec.Version})
		if err == nil {
			return
		}
		if !errors.Is(err, core.ErrConflict) {
			c.Fatalf("Save: %v", err)
		}
	}
}

package conformance

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func payload() []testCase {
	return []testCase{
		{"binary", must("Data are opaque bytes: NUL, line ends, invalid UTF-8 and white space, also that within JSON, survive."), 0,
			func(c *trial) {
				a, b := c.pair()
				all := make([]byte, 256)
				for i := range all {
					all[i] = byte(i)
				}
				for _, data := range [][]byte{
					all,
					{0},
					[]byte("\x00middle\x00"),
					[]byte("before\x00after"),
					[]byte(" \t\r\nwhite space\r\n\t "),
					[]byte("\xef\xbb\xbf{\"BOM\":1}\n"),
					[]byte("\xff\xfe\xc3\x28"),
					[]byte("e\u0301 is not \u00e9"),
					[]byte(`"quoted" 'twice' \n \x00 %s $HOME ${HOME} #`),
					[]byte("null"),
					[]byte("0"),
					[]byte("{\n  \"spaced\": 1.0,\n  \"a\": \"<&>\"\n}"), // a json.RawMessage loses the spaces
				} {
					c.save(a, key, data)
					c.wantRecord(a, key, data)
					c.wantRecord(b, key, data)
				}
			}},
		{"empty", must("Empty data are refused with ErrCorrupt, and the stored record stays."), 0,
			func(c *trial) {
				a := c.open()
				for _, empty := range [][]byte{nil, {}} {
					_, err := a.Save(c.ctx, key, core.Record{Data: empty, Version: core.AnyVersion})
					c.wantErr(err, core.ErrCorrupt, "Save of empty data under an absent key")
					c.wantNone(a, key)
				}
				c.save(a, key, text(1))
				for _, empty := range [][]byte{nil, {}} {
					_, err := a.Save(c.ctx, key, core.Record{Data: empty, Version: core.AnyVersion})
					c.wantErr(err, core.ErrCorrupt, "Save of empty data over a record")
					c.wantRecord(a, key, text(1))
				}
			}},
		{"64-KiB", must("A record of 64 KiB survives, or is refused with ErrTooLarge where MaxSize says so."), 0,
			func(c *trial) { c.wantSize(64 << 10) }},
		{"1-MiB", must("A record of 1 MiB survives, or is refused with ErrTooLarge where MaxSize says so."), 0,
			func(c *trial) { c.wantSize(1 << 20) }},
		{"max-size", must("A record of MaxSize bytes survives; one more byte is ErrTooLarge and changes nothing."), limited,
			func(c *trial) {
				const most = 64 << 20
				if c.want.MaxSize > most {
					c.Logf("not tried: MaxSize is %d bytes", c.want.MaxSize)
					return
				}
				c.wantSize(c.want.MaxSize)
				c.wantSize(c.want.MaxSize + 1)
			}},
		{"whole", must("A reader beside a writer gets whole records: the old one or the new one."), 0,
			func(c *trial) { c.wantWhole(20_000) }},
		{"deleted", must("A reader beside a process that deletes and saves gets a whole record or none; the only error is ErrNotFound."), 0,
			func(c *trial) {
				a, b := c.pair()
				record, whole := c.uniform(20_000)
				done := make(chan struct{})
				c.together(3, func(i int) {
					if i == 0 {
						defer close(done)
						c.rounds(func(round int) {
							c.save(a, key, record(round))
							c.delete(a, key)
						})
						return
					}
					for {
						select {
						case <-done:
							return
						default:
						}
						if rec, err := b.Load(c.ctx, key); err != nil && !errors.Is(err, core.ErrNotFound) {
							c.Fatalf("Load beside a Save and a Delete = %v, want a record or ErrNotFound", err)
						} else if err == nil && !whole(rec.Data) {
							c.Fatalf("Load beside a Save and a Delete = %s: no whole record", brief(rec.Data))
						}
						if _, err := b.Check(c.ctx, key); err != nil {
							c.Fatalf("Check beside a Save and a Delete = %v", err)
						}
					}
				})
			}},
		{"interrupted", must("A Save whose context ends in the middle leaves the old record or the new one, whole."), 0,
			func(c *trial) {
				a, b := c.pair()
				record, whole := c.uniform(100_000)
				c.save(a, key, record(0))
				c.rounds(func(round int) {
					ctx, cancel := context.WithTimeout(c.ctx, rand.N(2*time.Millisecond))
					defer cancel()
					// An interrupted Save may take effect later, when its request
					// arrives. So any of the records may be there.
					_, _ = a.Save(ctx, key, core.Record{Data: record(round + 1), Version: core.AnyVersion})
					if data := c.load(b, key).Data; !whole(data) {
						c.Errorf("Load after an interrupted Save = %s: neither the old record nor the new one", brief(data))
					}
				})
			}},
	}
}

// wantWhole expects that readers beside a writer of records of that size get whole ones.
func (c *trial) wantWhole(size int) {
	a, b := c.pair()
	record, whole := c.uniform(size)
	c.save(a, key, record(0))
	written := make(chan struct{})
	c.together(3, func(i int) {
		if i == 0 {
			defer close(written)
			c.rounds(func(round int) { c.save(a, key, record(round+1)) })
			return
		}
		for {
			select {
			case <-written:
				return
			default:
			}
			if data := c.load(b, key).Data; !whole(data) {
				c.Fatalf("Load beside a Save = %s: neither the old record nor the new one", brief(data))
			}
			if ok, err := b.Check(c.ctx, key); err != nil || !ok {
				c.Fatalf("Check beside a Save = %v, %v; want true", ok, err)
			}
		}
	})
}

// uniform makes records by which a torn one is recognized: each is one letter again and
// again, and its length depends on the letter.
func (c *trial) uniform(size int) (record func(i int) []byte, whole func([]byte) bool) {
	if c.want.MaxSize > 0 {
		size = min(size, c.want.MaxSize)
	}
	record = func(i int) []byte {
		i %= 4
		return bytes.Repeat([]byte{byte('a' + i)}, size-i*size/5)
	}
	whole = func(data []byte) bool {
		return len(data) > 0 && bytes.Equal(data, record(int(data[0]-'a')))
	}
	return record, whole
}

// wantSize expects that size bytes survive, or are refused if the claimed limit is
// smaller, and never anything else.
func (c *trial) wantSize(size int) {
	a, b := c.pair()
	// Letters, because a limit may be counted after an encoding that makes other bytes
	// longer. No two parts are alike, so that a missing one is noticed.
	data := make([]byte, size)
	random := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range data {
		data[i] = "abcdefghijklmnopqrstuvwxyz012345"[random.IntN(32)]
	}
	c.save(a, key, text(1))
	_, err := a.Save(c.ctx, key, core.Record{Data: data, Version: core.AnyVersion})
	switch {
	case c.want.MaxSize > 0 && size > c.want.MaxSize:
		c.wantErr(err, core.ErrTooLarge, "Save of %d bytes, where MaxSize is %d,", size, c.want.MaxSize)
		_, err = b.Save(c.ctx, key, core.Record{Data: data, Version: c.load(a, key).Version})
		c.wantErr(err, core.ErrTooLarge, "Save of %d bytes over the version loaded", size)
		c.wantRecord(b, key, text(1))
		_, err = b.Save(c.ctx, "new", core.Record{Data: data, Version: c.absent()})
		c.wantErr(err, core.ErrTooLarge, "Save of %d bytes under a new key", size)
		c.wantNone(a, "new")
	case errors.Is(err, core.ErrTooLarge):
		c.Errorf("Save of %d bytes = %v, and MaxSize claims no such limit", size, err)
	case err != nil:
		c.Errorf("Save of %d bytes: %v", size, err)
	default:
		c.wantRecord(a, key, data)
		c.wantRecord(b, key, data)
	}
}

package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func model() []testCase {
	return []testCase{
		{"sequence", must("In whatever order operations are called, through two handles, each returns what the contract says after those before it."), 0,
			func(c *trial) {
				random := rand.New(rand.NewPCG(3, 1))
				m := c.newModel()
				c.rounds(func(int) {
					script := make([]byte, 40)
					for i := range script {
						script[i] = byte(random.Uint32())
					}
					m.play(script)
				})
			}},
	}
}

// Fuzz lets the fuzzer look for a sequence of operations, through two handles, that the
// harness's backend doesn't answer as the contract says. It begins with a few sequences
// that find common mistakes.
func Fuzz(f *testing.F, h Harness) {
	f.Helper()
	if err := h.prepare(defaultTimeout); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"",
		"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09",
		"save, load, delete, load, save again",
		"\x03\x13\x23\x33\x43\x53\x63\x73\x83\x93\xa3\xb3\xc3\xd3\xe3\xf3",
		"\xff\x00\xff\x00\x7f\x80\x11\x22\x44\x88\x99\xaa\xbb\xcc\xdd\xee",
	} {
		f.Add([]byte(seed))
	}
	play := testCase{name: "fuzz", must: must("In whatever order operations are called, each returns what the contract says after those before it.")}
	f.Fuzz(func(t *testing.T, script []byte) {
		play.run = func(c *trial) { c.newModel().play(script[:min(len(script), 200)]) }
		if r := h.try(t.Context(), t, "model", play); r.Outcome == Failed {
			t.Errorf("%s\n%s", r.Requirement, r.Detail)
		}
	})
}

// expected is what, by the contract, the store has.
type expected struct {
	c       *trial
	handles []core.TokenBackend
	records map[string]core.Record
	former  map[string][]core.Version // versions that are stored no more
	saves   int
	log     []string
}

func (c *trial) newModel() *expected {
	a, b := c.pair()
	return &expected{c: c, handles: []core.TokenBackend{a, b}, records: map[string]core.Record{}, former: map[string][]core.Version{}}
}

// play does what the bytes of the script say: each is a handle, a key and an operation.
func (m *expected) play(script []byte) {
	keys := []string{"ana", "Ana", "ana/1"}
	for _, step := range script {
		b := m.handles[step&1]
		key := keys[int(step>>1)%len(keys)]
		switch step >> 4 {
		case 0, 1, 2:
			m.load(b, key)
		case 3:
			m.check(b, key)
		case 4, 5:
			m.save(b, key, core.AnyVersion)
		case 6, 7:
			m.save(b, key, m.version(key))
		case 8:
			m.save(b, key, m.absent())
		case 9, 10:
			m.save(b, key, m.old(key, int(step>>3)))
		case 11, 12:
			m.delete(b, key)
		case 13:
			m.list(b)
		case 14:
			m.refresh(b, key, m.version(key))
		case 15:
			m.refresh(b, key, m.old(key, int(step>>3)))
		}
		if m.c.Failed() || m.c.ctx.Err() != nil {
			return
		}
	}
}

// version is the stored one, or Absent, if versions are compared.
func (m *expected) version(key string) core.Version {
	rec, ok := m.records[key]
	switch {
	case m.c.want.CAS == CASNone:
		return core.AnyVersion
	case ok:
		return rec.Version
	}
	return core.Absent
}

func (m *expected) absent() core.Version { return m.c.absent() }

// old is a version that the key had, or Absent if it has one now.
func (m *expected) old(key string, n int) core.Version {
	if m.c.want.CAS == CASNone {
		return core.AnyVersion
	}
	if former := m.former[key]; len(former) > 0 {
		return former[n%len(former)]
	}
	return m.absent()
}

func (m *expected) did(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
	if len(m.log) > 12 {
		m.log = m.log[1:]
	}
}

func (m *expected) wrong(format string, args ...any) {
	m.c.Errorf("%s, after\n\t%s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n\t"))
}

func (m *expected) load(b core.TokenBackend, key string) {
	got, err := b.Load(m.c.ctx, key)
	want, ok := m.records[key]
	switch {
	case !ok && !errors.Is(err, core.ErrNotFound):
		m.wrong("Load(%q) = %s, %v; want ErrNotFound", key, brief(got.Data), err)
	case ok && (err != nil || string(got.Data) != string(want.Data) || got.Version != want.Version):
		m.wrong("Load(%q) = %s, version %s, %v; want %s, version %s", key, brief(got.Data), show(got.Version), err, brief(want.Data), show(want.Version))
	}
	m.did("Load(%q)", key)
}

func (m *expected) check(b core.TokenBackend, key string) {
	got, err := b.Check(m.c.ctx, key)
	if _, ok := m.records[key]; err != nil || got != ok {
		m.wrong("Check(%q) = %v, %v; want %v", key, got, err, ok)
	}
	m.did("Check(%q)", key)
}

func (m *expected) save(b core.TokenBackend, key string, v core.Version) {
	m.saves++
	data := text(m.saves)
	got, err := b.Save(m.c.ctx, key, core.Record{Data: data, Version: v})
	if v != core.AnyVersion && v != m.version(key) {
		if !errors.Is(err, core.ErrConflict) {
			m.wrong("Save(%q) with version %s = %v, want ErrConflict since version %s is stored", key, show(v), err, show(m.version(key)))
		}
	} else if err != nil {
		m.wrong("Save(%q) with version %s = %v", key, show(v), err)
	} else {
		m.stored(key, core.Record{Data: data, Version: got})
	}
	m.did("Save(%q, record %d) with version %s: version %s, %v", key, m.saves, show(v), show(got), err)
}

func (m *expected) stored(key string, rec core.Record) {
	m.gone(key)
	if m.c.want.CAS > CASNone && slices.Contains(m.former[key], rec.Version) {
		m.wrong("Save(%q) answers version %s, which other data of the key had before", key, show(rec.Version))
	}
	m.records[key] = rec
}

func (m *expected) gone(key string) {
	if rec, ok := m.records[key]; ok {
		m.former[key] = append(m.former[key], rec.Version)
		delete(m.records, key)
	}
}

func (m *expected) delete(b core.TokenBackend, key string) {
	if err := b.Delete(m.c.ctx, key); err != nil {
		m.wrong("Delete(%q) = %v", key, err)
	}
	m.gone(key)
	m.did("Delete(%q)", key)
}

func (m *expected) list(b core.TokenBackend) {
	if !m.c.want.List {
		return
	}
	got := []string{}
	for key, err := range m.c.lister(b).Keys(m.c.ctx) {
		if err != nil {
			m.wrong("Keys: %v", err)
		}
		got = append(got, key)
	}
	slices.Sort(got)
	want := []string{}
	for key := range m.records {
		want = append(want, key)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		m.wrong("Keys = %q, want %q", got, want)
	}
	m.did("Keys()")
}

func (m *expected) refresh(b core.TokenBackend, key string, seen core.Version) {
	if !m.c.want.Coordinates || m.c.want.CAS == CASNone {
		return
	}
	m.saves++
	data := text(m.saves)
	var saved core.Version
	d, err := b.ShouldRefresh(m.c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
		if current.Version != m.version(key) || string(current.Data) != string(m.records[key].Data) {
			m.wrong("Refresh of %q got %s, version %s; stored is version %s", key, brief(current.Data), show(current.Version), show(m.version(key)))
		}
		var err error
		saved, err = b.Save(ctx, key, core.Record{Data: data, Version: current.Version})
		return err
	}})
	want := core.RefreshedElsewhere
	if seen == m.version(key) {
		want = core.RefreshedHere
	}
	if err != nil || d != want || (saved != "") != (want == core.RefreshedHere) {
		m.wrong("ShouldRefresh(%q) with Seen %s = %v, %v and saved version %s; want %v since version %s is stored", key, show(seen), d, err, show(saved), want, show(m.version(key)))
	} else if saved != "" {
		m.stored(key, core.Record{Data: data, Version: saved})
	}
	m.did("ShouldRefresh(%q) with Seen %s: %v, record %d as version %s", key, show(seen), d, m.saves, show(saved))
}

package tokencache

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Marshal writes the document, which every MSAL and python-o365 read. The same cache
// gives the same bytes. Entries that haven't changed since Parse are written as they were
// read.
func (c *Cache) Marshal() ([]byte, error) {
	var sections [kinds][]*entry
	size := 2
	for _, g := range c.in().groups {
		for _, e := range g {
			sections[e.kind] = append(sections[e.kind], e)
			size += len(e.key) + len(e.raw) + 8
		}
	}
	for _, e := range c.in().apps {
		sections[appMetadata] = append(sections[appMetadata], e)
		size += len(e.key) + len(e.raw) + 8
	}
	for _, e := range c.in().extra {
		size += len(e.key) + len(e.raw) + 8
	}
	w := &writer{buf: make([]byte, 0, size+128)}
	w.open()
	for k, entries := range sections {
		if len(entries) == 0 {
			continue
		}
		slices.SortFunc(entries, byKey)
		w.name(sectionNames[k])
		w.open()
		for _, e := range rename(entries) {
			w.name(e.key)
			w.raw(e.raw)
		}
		w.close()
	}
	for _, name := range slices.Sorted(maps.Keys(c.in().extra)) {
		w.name(name)
		w.raw(c.in().extra[name].raw)
	}
	w.close()
	return w.buf, nil
}

// rename gives other keys to entries with the same key, which different users may have. A
// name must not occur twice, because readers keep one value.
func rename(entries []*entry) []*entry {
	same := func(i int) bool { return i > 0 && entries[i].key == entries[i-1].key }
	unique := true
	for i := range entries {
		unique = unique && !same(i)
	}
	if unique {
		return entries
	}
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.key] = true
	}
	renamed := make([]*entry, len(entries))
	n := 0
	for i, e := range entries {
		if !same(i) {
			renamed[i], n = e, 0
			continue
		}
		key := e.key
		for taken[key] {
			n++
			key = e.key + "-" + strconv.Itoa(n)
		}
		taken[key] = true
		renamed[i] = &entry{e.kind, key, e.content}
	}
	slices.SortFunc(renamed, byKey)
	return renamed
}

// writer writes JSON objects.
type writer struct {
	buf   []byte
	comma bool
}

func (w *writer) open() {
	w.buf = append(w.buf, '{')
	w.comma = false
}

func (w *writer) close() {
	w.buf = append(w.buf, '}')
	w.comma = true
}

func (w *writer) name(name string) {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.buf = appendString(w.buf, name)
	w.buf = append(w.buf, ':')
}

func (w *writer) raw(value string) {
	w.buf = append(w.buf, value...)
	w.comma = true
}

// appendString writes a JSON string. MSAL's strings need no escapes.
func appendString(buf []byte, s string) []byte {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) < 0 {
		buf = append(buf, '"')
		buf = append(buf, s...)
		return append(buf, '"')
	}
	quoted, _ := json.Marshal(s) // a string can't fail
	return append(buf, quoted...)
}

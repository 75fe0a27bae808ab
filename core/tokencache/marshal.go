package tokencache

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Marshal writes the document: what every MSAL and python-o365 read. The same
// cache gives the same bytes, and what was not changed since Parse is written
// as it was read.
func (c *Cache) Marshal() ([]byte, error) {
	var sections [kinds][]*entry
	size := 2
	for _, g := range c.groups {
		for _, e := range g {
			sections[e.kind] = append(sections[e.kind], e)
			size += len(e.key) + len(e.raw) + 8
		}
	}
	for _, e := range c.apps {
		sections[appMetadata] = append(sections[appMetadata], e)
		size += len(e.key) + len(e.raw) + 8
	}
	for _, e := range c.extra {
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
		same := 0
		for i, e := range entries {
			key := e.key
			if i > 0 && key == entries[i-1].key { // a name must not stand twice: readers keep one value
				same++
				key += "-" + strconv.Itoa(same)
			} else {
				same = 0
			}
			w.name(key)
			w.raw(e.raw)
		}
		w.close()
	}
	for _, name := range slices.Sorted(maps.Keys(c.extra)) {
		w.name(name)
		w.raw(c.extra[name].raw)
	}
	w.close()
	return w.buf, nil
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

// appendString writes a JSON string. What MSAL writes needs no escapes.
func appendString(buf []byte, s string) []byte {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) < 0 {
		buf = append(buf, '"')
		buf = append(buf, s...)
		return append(buf, '"')
	}
	quoted, _ := json.Marshal(s) // a string can't fail
	return append(buf, quoted...)
}

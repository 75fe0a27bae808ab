package tokencache

import (
	"bytes"
	"fmt"
	"strings"
)

// Parse reads a document. {} is an empty cache; empty input, anything else than
// one JSON object, and sections that are no objects are ErrCorrupt. Where a name
// stands twice, the last one counts, as for every other reader.
func Parse(data []byte) (*Cache, error) {
	if len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrCorrupt)
	}
	if err := checkUTF8(data); err != nil {
		return nil, err
	}
	s := &scanner{text: string(data)}
	if s.peek() != '{' {
		return nil, s.torn("JSON object (is it encrypted?)")
	}
	var sections [kinds]map[string]*entry
	extra := make(map[string]*entry)
	err := s.object(func(name string) error {
		k, known := sectionKind(name)
		if known && s.peek() != 'n' {
			section, err := s.section(k)
			sections[k] = section
			return err
		}
		raw, err := s.value(1)
		if known { // it is null
			sections[k] = nil
		} else {
			extra[name] = opaqueEntry(name, raw)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.peek(); s.pos != len(s.text) {
		return nil, s.torn("end of the document")
	}
	if _, legacy := extra["access_token"]; legacy {
		return nil, ErrLegacyToken
	}
	c := New()
	c.in().extra = extra
	c.fill(sections)
	return c, nil
}

func sectionKind(name string) (kind, bool) {
	for k, n := range sectionNames {
		if n == name {
			return kind(k), true
		}
	}
	return 0, false
}

// section reads a section's entries.
func (s *scanner) section(k kind) (map[string]*entry, error) {
	entries := make(map[string]*entry)
	err := s.object(func(key string) error {
		e, err := s.entry(k, key)
		entries[key] = e
		return err
	})
	return entries, err
}

func (s *scanner) entry(k kind, key string) (*entry, error) {
	e := blankEntry(k, key)
	c := s.peek()
	start := s.pos
	var err error
	if c == '{' {
		err = s.object(func(name string) error {
			f, known := fieldsByName[name]
			if !known {
				_, err := s.value(3)
				return err
			}
			value, err := s.fieldValue(f)
			if value != "" || fieldNames[f] == name { // a null under another library's name says nothing
				e.field[f] = value
			}
			return err
		})
	} else if c == 'n' {
		_, err = s.value(2)
	} else {
		return nil, s.torn("JSON object")
	}
	if err != nil {
		return nil, err
	}
	e.raw = s.text[start:s.pos]
	e.scopes = strings.Fields(e.field[target])
	if strings.IndexByte(e.field[target], ',') >= 0 {
		e.scopes = splitScopes(e.field[target])
	}
	return e, nil
}

// newEntry makes an entry of what this package wrote.
func newEntry(k kind, key, raw string) (*entry, error) {
	return (&scanner{text: raw}).entry(k, key)
}

// fill sorts the entries of the sections into groups, and leaves one of each
// identity.
func (c *Cache) fill(sections [kinds]map[string]*entry) {
	groups := make(map[owner]group, len(sections[accounts])+1)
	for k, section := range sections {
		if kind(k) == appMetadata {
			c.fillApps(section)
			continue
		}
		for _, e := range section {
			of := e.owner()
			groups[of] = append(groups[of], e)
		}
	}
	for of, g := range groups {
		c.setGroup(of, g.collapse())
	}
}

// fillApps leaves one entry of each client and cloud, because MSAL Node and
// MSAL for Java find none where there are two. One that knows the client's
// family stays, or else the last in the order of the hosts: "login.windows.net",
// which these two write.
func (c *Cache) fillApps(section map[string]*entry) {
	for _, e := range section {
		id := e.identity()
		old, there := c.in().apps[id]
		if there {
			x, y := old.field[familyID] != "", e.field[familyID] != ""
			if x && !y || x == y && old.key > e.key {
				continue
			}
		}
		c.in().apps[id] = e
	}
}

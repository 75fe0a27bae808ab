package tokencache

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// scanner reads JSON (RFC 8259) and builds only what it is asked for: names and values
// are substrings of the document. encoding/json takes four times as long for a record
// that a thousand users share; see BenchmarkParse.
type scanner struct {
	text string
	pos  int
}

// maxDepth bounds the nesting of values, as encoding/json does.
const maxDepth = 1000

// torn returns the error for a position at which the document is no longer valid. The
// text there may be a secret, so it is not part of the error.
func (s *scanner) torn(what string) error {
	if s.pos >= len(s.text) {
		return fmt.Errorf("%w: it ends after %d bytes, where there should be %s", ErrCorrupt, len(s.text), what)
	}
	return fmt.Errorf("%w: no %s at byte %d", ErrCorrupt, what, s.pos)
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos == len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

// object calls member for the name of each member of an object; member reads
// the value.
func (s *scanner) object(member func(name string) error) error {
	if s.peek() != '{' {
		return s.torn("JSON object")
	}
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.torn("name")
		}
		name, err := s.str()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.torn("colon")
		}
		s.pos++
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.torn("comma or end of an object")
		}
	}
}

// str reads a string.
func (s *scanner) str() (string, error) {
	start := s.pos + 1
	escaped := false
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c > '"' && c != '\\': // nearly always
		case c == '"':
			s.pos = i + 1
			if !escaped {
				return s.text[start:i], nil
			}
			var decoded string
			if err := json.Unmarshal([]byte(s.text[start-1:i+1]), &decoded); err != nil {
				s.pos = start - 1
				return "", s.torn("string")
			}
			return decoded, nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.pos = i
			return "", s.torn("string")
		}
	}
	s.pos = len(s.text)
	return "", s.torn("end of a string")
}

// value reads any value and returns it as it stands.
func (s *scanner) value(depth int) (raw string, err error) {
	c := s.peek()
	start := s.pos
	switch {
	case depth > maxDepth:
		return "", s.torn("value nested so deeply")
	case c == '{':
		err = s.object(func(string) error {
			_, err := s.value(depth + 1)
			return err
		})
	case c == '[':
		err = s.array(depth)
	case c == '"':
		_, err = s.str()
	default:
		err = s.literal()
	}
	return s.text[start:s.pos], err
}

func (s *scanner) array(depth int) error {
	s.pos++
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if _, err := s.value(depth + 1); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.torn("comma or end of an array")
		}
	}
}

// literal reads a number, true, false or null.
func (s *scanner) literal() error {
	end := s.pos
	for end < len(s.text) && strings.IndexByte(" \t\r\n,:]}[{\"", s.text[end]) < 0 {
		end++
	}
	word := s.text[s.pos:end]
	switch word {
	case "true", "false", "null":
	default:
		if word == "" || word[0] != '-' && (word[0] < '0' || word[0] > '9') || !json.Valid([]byte(word)) {
			return s.torn("value")
		}
	}
	s.pos = end
	return nil
}

// fieldValue reads a value of an entry: a string, or a number as it is written, because
// some writers write numbers where others write strings. Any other value is "", except a
// value that a token is bound to, which may be an object.
func (s *scanner) fieldValue(f field) (string, error) {
	if s.peek() == '"' {
		return s.str()
	}
	raw, err := s.value(2)
	switch {
	case err != nil || raw == "":
		return "", err
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return raw, nil
	case (raw[0] == '{' || raw[0] == '[') && f >= keyID:
		if raw = compact(raw); raw != "{}" && raw != "[]" {
			return raw, nil
		}
	}
	return "", nil
}

func checkUTF8(data []byte) error {
	if utf8.Valid(data) {
		return nil
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return fmt.Errorf("%w: no UTF-8 at byte %d", ErrCorrupt, i)
		}
		i += size
	}
	return nil
}

package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/joho/godotenv"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// dotenv is a file of NAME=value lines. godotenv decides what they mean. It would also
// write them, but sorted and without comments, so this package edits the text.
type dotenv struct{ path string }

func (dotenv) begins(prefix string) bool { return isIdentifier(prefix) }

// holds reports whether value means the same between single quotes to godotenv, to a
// shell and to python-dotenv. The last of these expands "${" even there, and treats a
// backslash before another one or before a quote as an escape. Line feeds are kept,
// because MSAL's JSON in Python is indented.
func (dotenv) holds(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) &&
		!strings.Contains(value, `'`) &&
		!strings.Contains(value, `\\`) &&
		!strings.HasSuffix(value, `\`) &&
		!strings.Contains(value, `${`)
}

func (d dotenv) lookup(name string) (string, bool, error) {
	_, vars, err := d.read()
	value, ok := vars[name]
	return value, ok, err
}

func (d dotenv) names() ([]string, error) {
	_, vars, err := d.read()
	return slices.Collect(maps.Keys(vars)), err
}

func (d dotenv) set(name, value string) error {
	text, err := d.edit(name, value)
	if err != nil {
		return err
	}
	return d.write(text)
}

// edit returns the file's text with a new value of the variable.
func (d dotenv) edit(name, value string) ([]byte, error) {
	text, _, err := d.assign(name, name+"='"+value+"'\n")
	if err != nil {
		return nil, err
	}
	// An edit that can't be read back must not reach the file.
	if vars, err := godotenv.UnmarshalBytes(text); err != nil || vars[name] != value {
		return nil, fmt.Errorf("%s: the value can't be written as a dotenv value", d.path)
	}
	return text, nil
}

func (d dotenv) unset(name string) error {
	text, found, err := d.assign(name, "")
	if err != nil || !found {
		return err
	}
	return d.write(text)
}

func (d dotenv) ping(readOnly bool) error {
	if err := atomicfile.CheckDirectory(filepath.Dir(d.path)); err != nil {
		return err
	}
	if _, _, err := d.read(); err != nil || readOnly {
		return err
	}
	return atomicfile.ReadOnly(atomicfile.ProbePath(d.path))
}

// probe tries the edit, and whether the file could be replaced or written.
func (d dotenv) probe(name string) error {
	if _, err := d.edit(name, "probe"); err != nil {
		return err
	}
	return atomicfile.ReadOnly(atomicfile.ProbePath(d.path))
}

// write replaces the file as a whole: a program that reads at the same time, or after a crash,
// finds the old text or the new one; see package atomicfile.
func (d dotenv) write(text []byte) error {
	return atomicfile.ReadOnly(atomicfile.ReplacePath(context.Background(), d.path, text))
}

// read returns the file's text and its variables. A missing file counts as an empty one.
func (d dotenv) read() (text []byte, vars map[string]string, err error) {
	text, err = atomicfile.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if vars, err = godotenv.UnmarshalBytes(text); err != nil {
		// godotenv's error quotes the file, with the secrets.
		return nil, nil, fmt.Errorf("%w: %s isn't a valid dotenv file", core.ErrCorrupt, d.path)
	}
	return text, vars, nil
}

// assign returns the file's text with assignment as the only statement about name, in the
// place of the first one or else at the end, and whether there was one. If assignment is
// empty, there is none afterwards. All other statements and comments stay byte by byte.
func (d dotenv) assign(name, assignment string) (edited []byte, found bool, err error) {
	text, vars, err := d.read()
	if err != nil {
		return nil, false, err
	}
	_, found = vars[name]
	for len(text) > 0 {
		size, vars, err := statement(text)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", d.path, err)
		}
		this := text[:size]
		text = text[size:]
		if _, ours := vars[name]; !ours {
			edited = append(edited, this...)
			continue
		}
		if len(vars) > 1 {
			return nil, false, fmt.Errorf("%s: another variable is on the same line as this one", d.path)
		}
		if assignment != "" && bytes.HasPrefix(bytes.TrimSpace(this), []byte("export ")) {
			edited = append(edited, "export "...)
		}
		edited = append(edited, assignment...)
		assignment = ""
	}
	if assignment != "" && len(edited) > 0 && !bytes.HasSuffix(edited, []byte("\n")) {
		edited = append(edited, '\n')
	}
	return append(edited, assignment...), found, nil
}

// statement returns the size of the first statement of text, and what it sets. A
// statement is the smallest number of lines that godotenv can parse. It has more than one
// line if a quoted value has line breaks, and ends with the quote's line.
func statement(text []byte) (size int, vars map[string]string, err error) {
	var quote []byte // the first one: if a value has several lines, it begins with this quote
	for line := range bytes.Lines(text) {
		if size > 0 && len(quote) > 0 && !hasUnescaped(line, quote) {
			size += len(line)
			continue // parsing all of it for each line would take too long
		}
		if i := bytes.IndexAny(line, `'"`); size == 0 && i >= 0 {
			quote = line[i : i+1]
		}
		size += len(line)
		if vars, err = godotenv.UnmarshalBytes(text[:size]); err == nil {
			return size, vars, nil
		}
	}
	return 0, nil, errors.New("not a dotenv file")
}

// hasUnescaped reports whether a quote in line may end a value, as godotenv has it.
func hasUnescaped(line, quote []byte) bool {
	return bytes.Count(line, quote) > bytes.Count(line, append([]byte{'\\'}, quote...))
}

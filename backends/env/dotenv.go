package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
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
	return !strings.ContainsFunc(value, isControl) &&
		!strings.Contains(value, `'`) &&
		!strings.Contains(value, `\\`) &&
		!strings.HasSuffix(value, `\`) &&
		!strings.Contains(value, `${`)
}

func isControl(r rune) bool { return r != '\n' && unicode.IsControl(r) }

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
	text, _, err := d.read()
	if err != nil {
		return err
	}
	text, err = d.edit(text, name, value)
	if err != nil {
		return err
	}
	return d.write(text)
}

// edit returns the text with a new value of the variable.
func (d dotenv) edit(text []byte, name, value string) ([]byte, error) {
	text, err := assign(text, name, name+"='"+value+"'\n")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	// An edit that can't be read back must not reach the file.
	if vars, err := godotenv.UnmarshalBytes(text); err != nil || vars[name] != value {
		return nil, fmt.Errorf("%s: the value can't be written as a dotenv value", d.path)
	}
	return text, nil
}

func (d dotenv) unset(name string) error {
	text, vars, err := d.read()
	if err != nil {
		return err
	}
	if _, ok := vars[name]; !ok {
		return nil
	}
	text, err = assign(text, name, "")
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
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
	return d.probeFile()
}

// probe tries the edit, and whether the file could be replaced or written.
func (d dotenv) probe(name string) error {
	text, _, err := d.read()
	if err != nil {
		return err
	}
	if _, err := d.edit(text, name, "probe"); err != nil {
		return err
	}
	return d.probeFile()
}

func (d dotenv) probeFile() error { return d.inDirectory(atomicfile.Probe) }

// read returns the file's text and its variables; no file is an empty one.
func (d dotenv) read() (text []byte, vars map[string]string, err error) {
	text, err = d.readText()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	vars, err = godotenv.UnmarshalBytes(text)
	if err != nil {
		// godotenv's error quotes the file, with the secrets.
		return nil, nil, fmt.Errorf("%w: %s isn't a valid dotenv file", core.ErrCorrupt, d.path)
	}
	return text, vars, nil
}

func (d dotenv) readText() ([]byte, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return io.ReadAll(f) // a pipe is read once
	}
	text, _, err := atomicfile.Read(f, info)
	return text, err
}

// assign returns text with assignment as the only statement about name, in the place of
// the first one or else at the end. If assignment is empty, there is none afterwards. All
// other statements and comments stay byte by byte.
func assign(text []byte, name, assignment string) ([]byte, error) {
	var out []byte
	for len(text) > 0 {
		size, vars, err := statement(text)
		if err != nil {
			return nil, err
		}
		this := text[:size]
		text = text[size:]
		if _, ok := vars[name]; !ok {
			out = append(out, this...)
			continue
		}
		if len(vars) > 1 {
			return nil, errors.New("another variable is on the same line as this one")
		}
		if assignment != "" && bytes.HasPrefix(bytes.TrimSpace(this), []byte("export ")) {
			out = append(out, "export "...)
		}
		out = append(out, assignment...)
		assignment = ""
	}
	if assignment != "" && len(out) > 0 && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\n')
	}
	return append(out, assignment...), nil
}

// statement returns the size of the first statement of text, and what it sets. A
// statement is the smallest number of lines that godotenv can parse. It has more than one
// line if a quoted value has line breaks, and ends with the quote's line.
func statement(text []byte) (size int, vars map[string]string, err error) {
	quote := ""
	for line := range bytes.Lines(text) {
		size += len(line)
		switch {
		case size == len(line):
			quote = openingQuote(line)
		case quote != "" && !hasUnescaped(line, quote[0]):
			continue // parsing all of it for each line would take too long
		}
		if vars, err = godotenv.UnmarshalBytes(text[:size]); err == nil {
			return size, vars, nil
		}
	}
	return 0, nil, errors.New("not a dotenv file")
}

var quoted = regexp.MustCompile(`^[^=:]*[=:][ \t\v\f\r]*(['"])`)

// openingQuote is the quote that the value in a statement's first line begins with, or "".
func openingQuote(line []byte) string {
	if found := quoted.FindSubmatch(line); found != nil {
		return string(found[1])
	}
	return ""
}

// hasUnescaped reports whether a quote in line may end a value, as godotenv has it.
func hasUnescaped(line []byte, quote byte) bool {
	for i, c := range line {
		if c == quote && (i == 0 || line[i-1] != '\\') {
			return true
		}
	}
	return false
}

// write replaces the file as a whole: a reader at the same time, or after a crash, finds
// the old text or the new one; see package atomicfile.
func (d dotenv) write(text []byte) error {
	return d.inDirectory(func(dir *os.Root, r atomicfile.Replacement) error {
		r.Data = text
		return atomicfile.Replace(context.Background(), dir, r)
	})
}

// inDirectory calls do with the directory of the file or, if the path is a link, of the
// file that it leads to.
func (d dotenv) inDirectory(do func(*os.Root, atomicfile.Replacement) error) error {
	path, err := atomicfile.Target(d.path)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return atomicfile.ReadOnly(do(dir, atomicfile.Replacement{
		Name: filepath.Base(path),
		Temp: fmt.Sprintf(".env-%016x.tmp", rand.Uint64()),
	}))
}

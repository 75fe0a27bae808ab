package env

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"github.com/joho/godotenv"

	"github.com/graphtoken/graphtoken/core"
)

// dotenv is a file of NAME=value lines. What they mean, godotenv says. It
// would also write them, sorted and without comments: so this edits the text.
type dotenv struct {
	identifiers
	path string
}

func (dotenv) begins(prefix string) bool { return isIdentifier(prefix) }

// holds tells whether value reads the same between single quotes to godotenv,
// to a shell and to python-dotenv. The last of them expands "${" even there, and
// takes a backslash before another or before a quote for an escape. Line feeds
// are kept, for MSAL's JSON in Python is indented.
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
	text, err = assign(text, name, name+"='"+value+"'\n")
	if err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	// An edit that doesn't read back must not reach the file.
	if vars, err := godotenv.UnmarshalBytes(text); err != nil || vars[name] != value {
		return fmt.Errorf("%s: the value can't be written there", d.path)
	}
	return d.write(text)
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

func (d dotenv) ping() error {
	if _, _, err := d.read(); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Dir(d.path))
	return err
}

// read returns the file's text and its variables; no file is an empty one.
func (d dotenv) read() (text []byte, vars map[string]string, err error) {
	text, err = os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	vars, err = godotenv.UnmarshalBytes(text)
	if err != nil {
		// godotenv's error quotes the file, secrets and all.
		return nil, nil, fmt.Errorf("%w: %s can't be parsed as a dotenv file", core.ErrCorrupt, d.path)
	}
	return text, vars, nil
}

// assign returns text with assignment as the only statement about name, in the
// place of the first there was or else at the end; without any, if assignment
// is empty. All other statements and comments stay byte by byte.
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
			return nil, errors.New("the variable shares its line with another one")
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

// statement returns the size of the first statement of text, and what it sets.
// It is the least number of lines that godotenv can parse: more than one where
// a quoted value has line breaks.
func statement(text []byte) (size int, vars map[string]string, err error) {
	for size < len(text) {
		if i := bytes.IndexByte(text[size:], '\n'); i >= 0 {
			size += i + 1
		} else {
			size = len(text)
		}
		if vars, err = godotenv.UnmarshalBytes(text[:size]); err == nil {
			return size, vars, nil
		}
	}
	return 0, nil, errors.New("not a dotenv file")
}

// write replaces the file in one step: whoever reads it meanwhile, or after a
// crash, finds the old text or the new one.
func (d dotenv) write(text []byte) (err error) {
	// Where the path is a link, the file it leads to is replaced.
	path, err := filepath.EvalSymlinks(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = d.path, nil
	}
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".env-*.tmp") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir survive a power failure. Windows has no such
// call, and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

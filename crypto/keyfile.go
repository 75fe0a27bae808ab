package crypto

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode"
)

// ErrKeyFileShared: other users than the owner can read or write a file of keys.
var ErrKeyFileShared = errors.New("other users can read or write this file of keys")

// KeyFileOptions says which files of keys are accepted.
type KeyFileOptions struct {
	// AllowShared accepts a file that other users than its owner can read or write, as
	// mounted secrets of a container often are. Otherwise such a file is
	// ErrKeyFileShared.
	AllowShared bool
}

// ReadKeyFile reads keys from a file, as [ReadKeys] does. A file that its group or others
// can read or write is refused with [ErrKeyFileShared], unless o allows it; `chmod 600`
// repairs that. The mode is that of the open file, so that nobody can exchange the file
// meanwhile. On Windows, and wherever modes mean nothing, this isn't checked: there the
// system's administrator sets access control lists.
func ReadKeyFile(name string, o KeyFileOptions) ([]Key, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("crypto: reading keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("crypto: reading keys: %w", err)
	}
	if mode := info.Mode().Perm(); !o.AllowShared && hasModes && mode&0o077 != 0 {
		return nil, fmt.Errorf("crypto: %s, mode %04o: %w; chmod 600 it, or set AllowShared", name, mode, ErrKeyFileShared)
	}
	keys, err := ReadKeys(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}

// hasModes reports whether a file's mode tells who can read the file.
const hasModes = runtime.GOOS != "windows" && runtime.GOOS != "plan9" && runtime.GOOS != "js" && runtime.GOOS != "wasip1"

// CreateKeyFile makes a file with one new key, which its owner alone can read, and makes
// it durable. An existing file is never overwritten, because its key may be the only one
// that can read a store: the error then wraps [fs.ErrExist].
func CreateKeyFile(name string) (Key, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("crypto: a key is never overwritten: %w", err)
	}
	if err != nil {
		return Key{}, fmt.Errorf("crypto: making a file for a key: %w", err)
	}
	key := NewKey()
	_, err = f.WriteString("# graphtoken key " + key.ID() + "\n" + key.Reveal() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return Key{}, fmt.Errorf("crypto: making a file for a key: %w", errors.Join(err, os.Remove(name)))
	}
	return key, nil
}

// KeysFromEnv reads keys from an environment variable, as [ParseKeys] does. If the
// variable isn't set, or is empty, the error names it. Child processes inherit variables,
// and other programs of the same user can read them. If that matters, use a file.
func KeysFromEnv(name string) ([]Key, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		return nil, fmt.Errorf("crypto: reading keys: the environment variable %s is not set", name)
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("the environment variable %s: %w", name, err)
	}
	return keys, nil
}

// ParseKeys reads keys from the text of a variable, in which line ends are hard to write:
// one or several keys, separated by white space or commas. The first is meant to be the
// primary one. A "#" begins a comment that lasts to the end of its line, so the text of a
// file of keys can be used, too.
func ParseKeys(text string) ([]Key, error) {
	var all []string
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line, _, _ = strings.Cut(line, "#")
		all = append(all, strings.FieldsFunc(line, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
	}
	return ReadKeys(strings.NewReader(strings.Join(all, "\n")))
}

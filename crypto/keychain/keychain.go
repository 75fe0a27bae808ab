// Package keychain keeps a keyring's key in the operating system's keychain: macOS's
// Keychain, Windows' Credential Manager, or the Secret Service of a desktop (GNOME
// Keyring, KWallet). Records stay in their backend: tokens are too large for a keychain,
// which holds 2,560 bytes on Windows.
//
//	key, place, err := keychain.Open(ctx, "mail", keychain.Options{AllowFile: true})
//	if err != nil {
//		return err
//	}
//	fmt.Println(place) // key 77f4502052567aef in the operating system's keychain (…)
//	keyring, err := crypto.NewKeyring(key)
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(keyring))
//
// The first Open of a name makes the key, and remembers where it is. Each later Open, in
// any process of this user, returns that key or an error. It never makes another key,
// because records of the first could then not be read.
package keychain

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/crypto"
)

var (
	// ErrNoKeychain: this system has no keychain, or none that this process reaches: a
	// server without a desktop, a container.
	ErrNoKeychain = errors.New("there is no keychain")

	// ErrLocked: the keychain is locked, and the user didn't unlock it.
	ErrLocked = errors.New("the keychain is locked")

	// ErrNoAnswer: the keychain didn't answer in time. It may be showing a prompt that
	// nobody answers.
	ErrNoAnswer = errors.New("the keychain doesn't answer")

	// ErrKeyGone: the key is no longer where it was put. Records that are encrypted with
	// the key can't be read until the key is back.
	ErrKeyGone = errors.New("the key is no longer where it was stored")
)

// Options configures [Open]. The zero value uses the keychain and nothing else.
type Options struct {
	// AllowFile keeps a new key in a file that its owner alone can read (mode 0600), where
	// the keychain can't be used. A stranger who reads the user's files can then read the
	// records, too.
	AllowFile bool

	// Dir is the directory that remembers where keys are, and holds key files. Empty means
	// "graphtoken" in the user's configuration directory ([os.UserConfigDir]). A missing
	// directory is made.
	Dir string

	// Service is the name under which the keychain shows keys. Empty means "graphtoken".
	Service string

	// Timeout limits each call of the keychain, including the user's answer to a prompt. Zero
	// means 15 seconds. A call that takes longer goes on in the background, and its result is
	// ignored.
	Timeout time.Duration
}

// Place says where a key is. Its String is one line for a status command.
type Place struct {
	KeyID   string `json:"key"`
	Service string `json:"service,omitempty"` // in the keychain
	Account string `json:"account,omitempty"` // in the keychain
	File    string `json:"file,omitempty"`    // the key file's path; empty for a key in the keychain
	Because string `json:"because,omitempty"` // why the key is in a file
}

// String says which key is where.
func (p Place) String() string {
	if p.File == "" {
		return fmt.Sprintf("key %s in the operating system's keychain (service %s, account %s)", p.KeyID, p.Service, p.Account)
	}
	return fmt.Sprintf("key %s in the file %s, because %s", p.KeyID, p.File, core.Printable(p.Because))
}

// Open returns the key of this name, and where the key is. The name is, for example, the
// program's: 1 to 64 letters, digits, dots, dashes and underscores, without a dot at its
// beginning.
//
// If the key was made before and can't be read, the error is [ErrKeyGone], [ErrLocked],
// [ErrNoAnswer], [ErrNoKeychain] or the keychain's own. No new key is made then, whatever
// AllowFile says. If a new key can be stored nowhere, the error is one of the last four.
func Open(ctx context.Context, name string, o Options) (crypto.Key, Place, error) {
	s, err := newSettings(name, o)
	if err != nil {
		return crypto.Key{}, Place{}, fmt.Errorf("keychain: %w", err)
	}
	defer s.root.Close()
	key, place, err := s.open(ctx)
	if err != nil {
		return crypto.Key{}, place, fmt.Errorf("keychain: %w", err)
	}
	return key, place, nil
}

// settings are one call of Open.
type settings struct {
	name     string
	service  string
	keychain store
	dir      string
	root     *os.Root
	timeout  time.Duration
	toFile   bool
}

func newSettings(name string, o Options) (*settings, error) {
	if name == "" || len(name) > 64 || name[0] == '.' || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
		return nil, fmt.Errorf("%q can't be a key's name: use letters, digits, dots, dashes and underscores, at most 64", core.Printable(name))
	}
	s := &settings{name: name, service: o.Service, keychain: system, dir: o.Dir, timeout: o.Timeout, toFile: o.AllowFile}
	if s.service == "" {
		s.service = "graphtoken"
	}
	if s.timeout <= 0 {
		s.timeout = 15 * time.Second
	}
	if s.dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("the directory that remembers the key's place: %w; set Dir", err)
		}
		s.dir = filepath.Join(config, "graphtoken")
	}
	var err error
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	if err := atomicfile.MakeDirectories(s.dir); err != nil {
		return nil, fmt.Errorf("the directory that remembers the key's place: %w", err)
	}
	if err := atomicfile.CheckDirectory(s.dir); err != nil {
		return nil, err
	}
	s.root, err = os.OpenRoot(s.dir)
	return s, err
}

func (s *settings) open(ctx context.Context) (crypto.Key, Place, error) {
	place, err := s.remembered()
	if errors.Is(err, fs.ErrNotExist) {
		place, err = s.choose(ctx)
	}
	if err != nil {
		return crypto.Key{}, Place{}, err
	}
	key, err := s.read(ctx, place)
	if err == nil && key.ID() != place.KeyID {
		err = fmt.Errorf("another key is there, %s: %w", key.ID(), ErrKeyGone)
	}
	if err != nil {
		return crypto.Key{}, place, fmt.Errorf("%v: %w", place, err)
	}
	return key, place, nil
}

// read returns the key that is at a place.
func (s *settings) read(ctx context.Context, place Place) (crypto.Key, error) {
	if place.File != "" {
		keys, err := crypto.ReadKeyFile(place.File, crypto.KeyFileOptions{})
		if errors.Is(err, fs.ErrNotExist) {
			return crypto.Key{}, fmt.Errorf("%w: %w", ErrKeyGone, err)
		}
		if err != nil {
			return crypto.Key{}, err
		}
		return keys[0], nil
	}
	text, err := s.ask(ctx, func() (string, error) { return s.keychain.Get(place.Service, place.Account) })
	if err != nil {
		return crypto.Key{}, err
	}
	return crypto.ParseKey(text)
}

// choose makes a key, puts the key where it can be kept, and remembers the place. Another process
// may do the same at the same time: the first to remember a place wins, and what the others
// made is removed. Each key has an account or a file of its own, so that none takes another's place.
func (s *settings) choose(ctx context.Context) (Place, error) {
	mine, err := s.toKeychain(ctx)
	if err != nil {
		if ctx.Err() != nil || !s.toFile {
			return Place{}, fmt.Errorf("a new key can't be kept in the keychain: %w", err)
		}
		if mine, err = s.toKeyFile(err); err != nil {
			return Place{}, err
		}
	}
	first, err := s.remember(mine)
	if err != nil || first != mine {
		s.remove(ctx, mine)
	}
	return first, err
}

// toKeychain makes a key in the keychain, and reads it again: a keychain that forgets would
// cost all records.
func (s *settings) toKeychain(ctx context.Context) (Place, error) {
	key := crypto.NewKey()
	place := Place{KeyID: key.ID(), Service: s.service, Account: s.name + "-" + key.ID()}
	if _, err := s.ask(ctx, func() (string, error) { return "", s.keychain.Set(place.Service, place.Account, key.Reveal()) }); err != nil {
		return Place{}, err
	}
	kept, err := s.read(ctx, place)
	if err != nil {
		return Place{}, fmt.Errorf("reading the new key back from the keychain: %w", err)
	}
	if kept.ID() != key.ID() {
		return Place{}, errors.New("the keychain returned another key than it was given")
	}
	return place, nil
}

func (s *settings) toKeyFile(because error) (Place, error) {
	file := filepath.Join(s.dir, s.name+"-"+rand.Text()[:8]+".key")
	key, err := crypto.CreateKeyFile(file)
	if err != nil {
		return Place{}, err
	}
	return Place{KeyID: key.ID(), File: file, Because: core.Printable(because.Error())}, nil
}

// remove takes away a key that nothing is encrypted with. Whether that succeeds changes nothing.
func (s *settings) remove(ctx context.Context, place Place) {
	if place.File != "" {
		_ = os.Remove(place.File)
		return
	}
	_, _ = s.ask(ctx, func() (string, error) { return "", s.keychain.Delete(place.Service, place.Account) })
}

// memory is the file that remembers where the key of a name is.
func (s *settings) memory() string { return s.name + ".json" }

// remembered returns the place that was chosen, or fs.ErrNotExist.
func (s *settings) remembered() (Place, error) {
	text, err := s.root.ReadFile(s.memory())
	if err != nil {
		return Place{}, err
	}
	var place Place
	if err := json.Unmarshal(text, &place); err != nil || place.KeyID == "" || place.File == "" && place.Account == "" || place.File != "" && !filepath.IsLocal(place.File) {
		return Place{}, fmt.Errorf("%s says where the key is, and is damaged; restore it, or remove it where nothing is encrypted with the key", filepath.Join(s.dir, s.memory()))
	}
	if place.File != "" {
		place.File = filepath.Join(s.dir, place.File)
	}
	return place, nil
}

// remember makes place the one that every Open finds, unless there is one. It returns the one
// that is found from now on. The file appears with all that is in it, or not at all.
func (s *settings) remember(place Place) (Place, error) {
	stored := place
	if place.File != "" {
		stored.File = filepath.Base(place.File) // so that the directory can be moved
	}
	text, err := json.Marshal(stored)
	if err != nil {
		return Place{}, err
	}
	temporary := s.memory() + "." + rand.Text()
	defer s.root.Remove(temporary)
	f, err := s.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Place{}, err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return Place{}, err
	}
	err = s.root.Link(temporary, s.memory())
	if errors.Is(err, fs.ErrExist) {
		return s.remembered()
	}
	if err != nil {
		return Place{}, err
	}
	return place, atomicfile.Sync(s.root)
}

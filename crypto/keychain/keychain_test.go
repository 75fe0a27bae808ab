package keychain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/keychain"
)

// fake is a keychain in the process.
type fake struct {
	mu    sync.Mutex
	items map[string]string // by service and account
	fail  error             // of each call, unless it is nil
	hang  chan struct{}     // each call waits for its end, unless it is nil
	get   func(text string) string
}

func (f *fake) call() error {
	f.mu.Lock()
	fail, hang := f.fail, f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return fail
}

func (f *fake) Get(service, account string) (string, error) {
	if err := f.call(); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text, ok := f.items[service+"/"+account]
	if !ok {
		return "", keyring.ErrNotFound
	}
	if f.get != nil {
		text = f.get(text)
	}
	return text, nil
}

func (f *fake) Set(service, account, text string) error {
	if err := f.call(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items[service+"/"+account] = text
	return nil
}

func (f *fake) Delete(service, account string) error {
	if err := f.call(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.items, service+"/"+account)
	return nil
}

func (f *fake) set(fail error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// newFake puts a fake in the place of the system's keychain for a test.
func newFake(t *testing.T) *fake {
	f := &fake{items: map[string]string{}}
	t.Cleanup(keychain.Replace(f))
	return f
}

func open(t *testing.T, o keychain.Options) (crypto.Key, keychain.Place) {
	t.Helper()
	key, place, err := keychain.Open(t.Context(), "mail", o)
	if err != nil {
		t.Fatal(err)
	}
	return key, place
}

func wantError(t *testing.T, o keychain.Options, want error) {
	t.Helper()
	if key, _, err := keychain.Open(t.Context(), "mail", o); !errors.Is(err, want) || key.ID() != "" {
		t.Errorf("Open = %v, %v; want %v", key, err, want)
	}
}

var (
	errNoService = errors.New("dbus: The name org.freedesktop.secrets was not provided by any .service files")
	errLocked    = errors.New("failed to unlock correct collection '/org/freedesktop/secrets/collection/login'")
)

// files lists what is in a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestEachOpenReturnsTheKeyThatTheFirstMade(t *testing.T) {
	f, o := newFake(t), keychain.Options{Dir: filepath.Join(t.TempDir(), "made", "by", "Open")}
	first, place := open(t, o)
	for range 3 {
		if again, where := open(t, o); again.ID() != first.ID() || where != place {
			t.Errorf("Open returns %v at %v, and at first %v at %v", again, where, first, place)
		}
	}
	if place.File != "" || len(f.items) != 1 || f.items["graphtoken/mail-"+first.ID()] != first.Reveal() {
		t.Errorf("the keychain has %d keys, and the key is at %v", len(f.items), place)
	}
	if want := "key " + first.ID() + " in the operating system's keychain (service graphtoken, account mail-" + first.ID() + ")"; place.String() != want {
		t.Errorf("the status line is %q, want %q", place, want)
	}
	other, _, err := keychain.Open(t.Context(), "calendar", o)
	if err != nil || other.ID() == first.ID() {
		t.Errorf("another name has the key %v, %v", other, err)
	}
	if names := files(t, o.Dir); len(names) != 2 {
		t.Errorf("the directory has %v", names)
	}
	text, err := os.ReadFile(filepath.Join(o.Dir, "mail.json"))
	if err != nil || bytes.Contains(text, []byte("gtkey")) {
		t.Errorf("what remembers the place has %s, %v", text, err)
	}
}

func TestProcessesThatOpenAtOneTimeGetOneKey(t *testing.T) {
	for name, fail := range map[string]error{"in the keychain": nil, "in a file": errNoService} {
		t.Run(name, func(t *testing.T) {
			f, o := newFake(t), keychain.Options{Dir: t.TempDir(), AllowFile: true}
			f.set(fail)
			var mu sync.Mutex
			ids := map[string]bool{}
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					key, _, err := keychain.Open(t.Context(), "mail", o)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					ids[key.ID()] = true
				})
			}
			all.Wait()
			if len(ids) != 1 {
				t.Errorf("they have %d keys", len(ids))
			}
			if n := len(f.items) + len(files(t, o.Dir)); n != 2 {
				t.Errorf("keys that nobody uses were left: %d in the keychain, files %v", len(f.items), files(t, o.Dir))
			}
		})
	}
}

func TestWithoutAKeychainAKeyIsKeptInAFileOnlyWhereThatIsAllowed(t *testing.T) {
	for want, fail := range map[error]error{
		keychain.ErrNoKeychain: errNoService, keychain.ErrLocked: errLocked, errors.New("exit status 36"): nil,
	} {
		f, o := newFake(t), keychain.Options{Dir: t.TempDir()}
		if fail == nil {
			fail = want
		}
		f.set(fail)
		wantError(t, o, want)
		if names := files(t, o.Dir); len(names) > 0 {
			t.Errorf("%v: nothing was to be made, and there is %v", want, names)
		}
		o.AllowFile = true
		key, place := open(t, o)
		if place.File == "" || !strings.Contains(place.String(), place.File) || !strings.Contains(place.String(), want.Error()) {
			t.Errorf("%v: the key is at %v", want, place)
		}
		info, err := os.Stat(place.File)
		if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v: the key file is %v, %v", want, info, err)
		}
		// The keychain is there now; the key stays where it is, and needs no leave.
		f.set(nil)
		if again, where := open(t, keychain.Options{Dir: o.Dir}); again.ID() != key.ID() || where != place || len(f.items) > 0 {
			t.Errorf("%v: later the key is %v at %v", want, again, where)
		}
	}
}

func TestAKeyInTheKeychainIsNeverReplaced(t *testing.T) {
	f, o := newFake(t), keychain.Options{Dir: t.TempDir(), AllowFile: true}
	key, _ := open(t, o)
	for want, fail := range map[error]error{keychain.ErrNoKeychain: errNoService, keychain.ErrLocked: errLocked} {
		f.set(fail)
		wantError(t, o, want)
	}
	f.set(nil)
	if again, _ := open(t, o); again.ID() != key.ID() {
		t.Errorf("the key is %v, and was %v", again, key)
	}
	clear(f.items)
	wantError(t, o, keychain.ErrKeyGone)
	f.items["graphtoken/mail-"+key.ID()] = crypto.NewKey().Reveal()
	wantError(t, o, keychain.ErrKeyGone)
	if len(files(t, o.Dir)) != 1 {
		t.Errorf("a key file was made: %v", files(t, o.Dir))
	}
}

func TestADirectoryThatWasMovedHasItsKeyFile(t *testing.T) {
	f, o := newFake(t), keychain.Options{Dir: filepath.Join(t.TempDir(), "before"), AllowFile: true}
	f.set(errNoService)
	key, _ := open(t, o)
	moved := o.Dir + " moved"
	if err := os.Rename(o.Dir, moved); err != nil {
		t.Fatal(err)
	}
	if again, place := open(t, keychain.Options{Dir: moved}); again.ID() != key.ID() || filepath.Dir(place.File) != moved {
		t.Errorf("the key is %v at %v, and was %v", again, place, key)
	}
}

func TestAKeyFileThatIsGoneIsNotReplaced(t *testing.T) {
	f, o := newFake(t), keychain.Options{Dir: t.TempDir(), AllowFile: true}
	f.set(errNoService)
	_, place := open(t, o)
	if err := os.Remove(place.File); err != nil {
		t.Fatal(err)
	}
	f.set(nil)
	wantError(t, o, keychain.ErrKeyGone)
}

func TestAKeychainThatDoesNotAnswerIsWaitedForOnlySoLong(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.hang = make(chan struct{})
		defer close(f.hang)
		o := keychain.Options{Dir: dir, Timeout: time.Minute}
		begun := time.Now()
		wantError(t, o, keychain.ErrNoAnswer)
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("Open took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := keychain.Open(ctx, "mail", keychain.Options{Dir: dir, AllowFile: true}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, keychain.ErrNoAnswer) {
			t.Errorf("a caller who leaves gets %v", err)
		}
		if names := files(t, dir); len(names) > 0 {
			t.Errorf("a caller who left has a key in %v", names)
		}
		o.AllowFile = true
		if _, place := open(t, o); place.File == "" || !strings.Contains(place.String(), keychain.ErrNoAnswer.Error()) {
			t.Errorf("the key is at %v", place)
		}
	})
}

func TestAKeychainThatForgetsGetsNoKey(t *testing.T) {
	f, o := newFake(t), keychain.Options{Dir: t.TempDir()}
	f.get = func(string) string { return crypto.NewKey().Reveal() }
	if _, _, err := keychain.Open(t.Context(), "mail", o); err == nil || len(files(t, o.Dir)) > 0 {
		t.Errorf("Open = %v, and there is %v", err, files(t, o.Dir))
	}
}

func TestADamagedMemoryIsNotOverwritten(t *testing.T) {
	f, o := newFake(t), keychain.Options{Dir: t.TempDir(), AllowFile: true}
	for _, text := range []string{"", "{", "{}", `{"key": "77f4502052567aef"}`, `{"key": "77f4502052567aef", "file": "../key"}`} {
		if err := os.WriteFile(filepath.Join(o.Dir, "mail.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := keychain.Open(t.Context(), "mail", o); err == nil || !strings.Contains(err.Error(), "mail.json") || len(f.items) > 0 {
			t.Errorf("%q: %v, and %d new keys", text, err, len(f.items))
		}
	}
}

func TestADirectoryOfOthersIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes tell nothing on Windows")
	}
	newFake(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	wantError(t, keychain.Options{Dir: dir}, core.ErrUnsafeDirectory)
}

func TestNamesThatLeadElsewhereAreRefused(t *testing.T) {
	newFake(t)
	for _, name := range []string{"", "..", ".hidden", "a/b", `a\b`, "a b", strings.Repeat("a", 65)} {
		if _, _, err := keychain.Open(t.Context(), name, keychain.Options{Dir: t.TempDir()}); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
}

// The library's own mock stands for the systems whose keychain this machine doesn't have.
func TestTheLibrarysKeychainKeepsTheKey(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere") // the mock doesn't ask it
	}
	keyring.MockInit()
	o := keychain.Options{Dir: t.TempDir(), Service: "mail program"}
	first, place := open(t, o)
	if again, _ := open(t, o); again.ID() != first.ID() || place.Service != "mail program" {
		t.Errorf("the key is %v at %v, and was %v", again, place, first)
	}
	if text, err := keyring.Get("mail program", "mail-"+first.ID()); err != nil || text != first.Reveal() {
		t.Errorf("the keychain has another text, %v", err)
	}
	keyring.MockInitWithError(keyring.ErrUnsupportedPlatform)
	wantError(t, o, keychain.ErrNoKeychain)
}

func TestWithoutASessionBusNoneIsStarted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the Secret Service is Linux's")
	}
	if _, err := os.Stat(fmt.Sprintf("/run/user/%d/bus", os.Getuid())); err == nil {
		t.Skip("this user has a session bus")
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "dbus-launch"), []byte("#!/bin/sh\ntouch "+bin+"/started\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	wantError(t, keychain.Options{Dir: t.TempDir()}, keychain.ErrNoKeychain)
	if _, err := os.Stat(filepath.Join(bin, "started")); err == nil {
		t.Error("a bus was started")
	}
}

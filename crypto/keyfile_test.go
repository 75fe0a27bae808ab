package crypto_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/crypto"
)

func TestAKeyFileIsMadeOnceAndReadBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	key, err := crypto.CreateKeyFile(name)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypto.ReadKeyFile(name, crypto.KeyFileOptions{})
	if err != nil || len(keys) != 1 || keys[0].ID() != key.ID() {
		t.Errorf("%v, %v; want %v", keys, err, key)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := crypto.CreateKeyFile(name); !errors.Is(err, fs.ErrExist) || again.ID() != "" {
		t.Errorf("over a file that is there: %v, %v", again, err)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Error("the key was overwritten")
	}
	if _, err := crypto.CreateKeyFile(filepath.Join(t.TempDir(), "missing", "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that isn't there: %v", err)
	}
}

func TestAKeyFileThatOthersCanReadIsRefusedUnlessAllowed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	name := filepath.Join(t.TempDir(), "keys")
	if _, err := crypto.CreateKeyFile(name); err != nil {
		t.Fatal(err)
	}
	for mode, shared := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true, 0o602: true, 0o644: true, 0o440: true} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		keys, err := crypto.ReadKeyFile(name, crypto.KeyFileOptions{})
		if errors.Is(err, crypto.ErrKeyFileShared) != shared || (err == nil) == shared || (len(keys) == 0) != shared {
			t.Errorf("mode %o: %v, %v", mode, keys, err)
		}
		if shared && !strings.Contains(err.Error(), name) {
			t.Errorf("the error doesn't name the file: %v", err)
		}
		if keys, err := crypto.ReadKeyFile(name, crypto.KeyFileOptions{AllowShared: true}); err != nil || len(keys) != 1 {
			t.Errorf("mode %o, allowed: %v, %v", mode, keys, err)
		}
	}
}

func TestAKeyFileThatCantBeReadIsNamedAndNotQuoted(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("gtkey1_hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{broken, filepath.Join(dir, "missing"), dir} {
		keys, err := crypto.ReadKeyFile(name, crypto.KeyFileOptions{AllowShared: true})
		if err == nil || keys != nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
}

func TestKeysAreReadFromAVariable(t *testing.T) {
	for _, text := range []string{
		fixed.Reveal() + " " + other.Reveal(), fixed.Reveal() + "," + other.Reveal(), "\n" + fixed.Reveal() + ",\n" + other.Reveal() + "\n",
		"# since March, the mail service's\n" + fixed.Reveal() + " # the primary one\n" + other.Reveal(),
	} {
		t.Setenv("TEST_KEYS", text)
		keys, err := crypto.KeysFromEnv("TEST_KEYS")
		if err != nil || len(keys) != 2 || keys[0].ID() != fixed.ID() || keys[1].ID() != other.ID() {
			t.Errorf("%v, %v", keys, err)
		}
	}
	t.Setenv("TEST_KEYS", "")
	if _, err := crypto.KeysFromEnv("TEST_KEYS"); err == nil || err.Error() != "the environment variable TEST_KEYS: crypto: the text has no key in it" {
		t.Error(err)
	}
	t.Setenv("TEST_KEYS", fixed.Reveal()+" gtkey1_hunter2")
	if _, err := crypto.KeysFromEnv("TEST_KEYS"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if _, err := crypto.KeysFromEnv("TEST_NO_SUCH_KEYS"); err == nil || err.Error() != "crypto: reading keys: the environment variable TEST_NO_SUCH_KEYS is not set" {
		t.Error(err)
	}
}

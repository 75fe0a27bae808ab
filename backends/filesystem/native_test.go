package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/native"
)

func TestARecordIsUsedUnderTheNameOfItsFile(t *testing.T) {
	names := []string{"ana@contoso.com token.txt", "ana%40contoso.com", "Token+1=2.TXT", "日本語", "%%64o36d1g"}
	if runtime.GOOS != "windows" {
		names = append(names, `contoso\ana`, "a:b?c*")
	}
	for _, name := range names {
		dir := t.TempDir()
		b, err := New(dir, Options{NativeNames: true})
		if err != nil {
			t.Fatal(err)
		}
		native.Check(t, b, name, native.Place{
			Put: func(data string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			Get: func() (string, bool) {
				data, err := os.ReadFile(filepath.Join(dir, name))
				return string(data), err == nil
			},
		})
	}
}

func TestANativeNameStaysInItsDirectory(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, "tokens")
	b, err := New(dir, Options{NativeNames: true})
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(home, "outside.txt")
	if err := os.WriteFile(outside, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../outside.txt", outside, ".", "..", helpers, helpers + "/leases/x", "a/../../outside.txt"} {
		if _, err := b.Load(t.Context(), key); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load of %q = %v, want ErrNotFound", key, err)
		}
		save(t, b, key, []byte("ours"), core.Absent)
		if rec, err := b.Load(t.Context(), key); err != nil || string(rec.Data) != "ours" {
			t.Errorf("Load of %q = %s, %v", key, rec.Data, err)
		}
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete of %q = %v", key, err)
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "theirs" {
		t.Errorf("the file outside of the directory is %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(home, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
}

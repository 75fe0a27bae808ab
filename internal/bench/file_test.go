package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// BenchmarkFile compares the store on the filesystem backend with the bare
// calls: os.ReadFile and parsing; marshalling, write, fsync, rename and fsync of
// the directory. The two take turns, because a shared disk is slow by turns too;
// the figures are medians.
func BenchmarkFile(b *testing.B) {
	for _, n := range []int{1, 100} {
		backend, err := filesystem.New(b.TempDir(), filesystem.Options{})
		if err != nil {
			b.Fatal(err)
		}
		dir := b.TempDir()
		path := filepath.Join(dir, "bare")
		store, cache := core.NewStore(backend), users(b, n)
		if _, err := store.Save(b.Context(), "k", cache, core.Absent); err != nil {
			b.Fatal(err)
		}
		if err := bareSave(dir, path, cache); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("Load/users=%d", n), func(b *testing.B) {
			sidebyside.Run(b, func(int) error {
				_, _, err := store.Load(b.Context(), "k")
				return err
			}, func(int) error {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				_, err = tokencache.Parse(data)
				return err
			})
		})
		b.Run(fmt.Sprintf("Save/users=%d", n), func(b *testing.B) {
			_, version, err := store.Load(b.Context(), "k")
			if err != nil {
				b.Fatal(err)
			}
			sidebyside.Run(b, func(int) (err error) {
				version, err = store.Save(b.Context(), "k", cache, version)
				return err
			}, func(int) error { return bareSave(dir, path, cache) })
		})
	}
}

// bareSave is the least that keeps a file through a crash.
func bareSave(dir, path string, c *tokencache.Cache) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

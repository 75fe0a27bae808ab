package filesystem

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// The benchmarks compare the backend with the least code that does the same with package
// os. Each pair is measured in one run:
//
//	go test -run - -bench . -count 6
var sizes = []struct {
	name string
	n    int
}{{"6KB", 6 << 10}, {"1MB", 1 << 20}}

func BenchmarkLoad(b *testing.B) {
	for _, size := range sizes {
		dir := b.TempDir()
		backend := open(b, dir, Options{})
		save(b, backend, DefaultKey, record(1, size.n), core.AnyVersion)
		path := filepath.Join(dir, DefaultKey)

		b.Run("graphtoken/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := backend.Load(b.Context(), DefaultKey); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("os.ReadFile/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := os.ReadFile(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSave(b *testing.B) {
	for _, size := range sizes {
		// Two records in turn: a save that changes nothing might be cheaper.
		data := [2][]byte{record(1, size.n), record(2, size.n)}

		b.Run("graphtoken/compared/"+size.name, func(b *testing.B) {
			backend := open(b, b.TempDir(), Options{})
			v := save(b, backend, DefaultKey, data[0], core.AnyVersion)
			i := 0
			for b.Loop() {
				i++
				v = save(b, backend, DefaultKey, data[i%2], v)
			}
		})
		b.Run("graphtoken/any version/"+size.name, func(b *testing.B) {
			backend := open(b, b.TempDir(), Options{})
			i := 0
			for b.Loop() {
				i++
				save(b, backend, DefaultKey, data[i%2], core.AnyVersion)
			}
		})
		b.Run("write+fsync+rename+fsync/"+size.name, func(b *testing.B) {
			dir := b.TempDir()
			i := 0
			for b.Loop() {
				i++
				if err := bareSave(dir, data[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bareSave is the durable write with nothing around it.
func bareSave(dir string, data []byte) error {
	path := filepath.Join(dir, DefaultKey)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
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

// BenchmarkSideBySide takes turns, so that a disk or a processor which others
// use too is as slow for both, and reports the medians and their ratio.
func BenchmarkSideBySide(b *testing.B) {
	for _, size := range sizes {
		data := [2][]byte{record(1, size.n), record(2, size.n)}
		b.Run("Load/"+size.name, func(b *testing.B) {
			dir := b.TempDir()
			backend := open(b, dir, Options{})
			save(b, backend, DefaultKey, data[0], core.AnyVersion)
			path := filepath.Join(dir, DefaultKey)
			sidebyside.Run(b, func(int) error {
				_, err := backend.Load(b.Context(), DefaultKey)
				return err
			}, func(int) error {
				_, err := os.ReadFile(path)
				return err
			})
		})
		b.Run("Save/"+size.name, func(b *testing.B) {
			bare := b.TempDir()
			backend := open(b, b.TempDir(), Options{})
			v := save(b, backend, DefaultKey, data[1], core.AnyVersion)
			sidebyside.Run(b, func(turn int) (err error) {
				v, err = backend.Save(b.Context(), DefaultKey, core.Record{Data: data[turn%2], Version: v})
				return err
			}, func(turn int) error {
				return bareSave(bare, data[turn%2])
			})
		})
	}
}

func BenchmarkLease(b *testing.B) {
	backend := open(b, b.TempDir(), Options{})
	for b.Loop() {
		lease, err := backend.Acquire(b.Context(), DefaultKey, core.DefaultLeaseTTL)
		if err != nil {
			b.Fatal(err)
		}
		if err := lease.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaseHeldByAnother(b *testing.B) {
	backend := open(b, b.TempDir(), Options{})
	if _, err := backend.Acquire(b.Context(), DefaultKey, 1<<50); err != nil {
		b.Fatal(err)
	}
	at, err := backend.place(DefaultKey)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, held, err := backend.lookAtLease(at); !held || err != nil {
			b.Fatal(held, err)
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	dir := b.TempDir()
	const n = 10_000
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("{}"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	backend := open(b, dir, Options{})
	for b.Loop() {
		keys := 0
		for _, err := range backend.Keys(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			keys++
		}
		if keys != n {
			b.Fatal(keys)
		}
	}
}

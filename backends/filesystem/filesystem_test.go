package filesystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

// open returns a handle on dir.
func open(t testing.TB, dir string, o Options) *Backend {
	t.Helper()
	b, err := New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is a plain record of about size bytes, which says n.
func record(n, size int) []byte {
	return fmt.Appendf(nil, `{"n": %d, "pad": "%s"}`, n, strings.Repeat("x", size))
}

func save(t testing.TB, b *Backend, key string, data []byte, v core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: data, Version: v})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func leaseFile(at place) string { return helperFile(at.home, filepath.Join(leases, at.as)) }

// tempFile is the usual temporary file of a stripe.
func tempFile(dir string, stripe int) string { return helperFile(dir, tempName(stripe)) }

func helperFile(dir, name string) string { return placeIn(dir, "").in(helpers, name) }

// lockedByAnother saves record(1, 0) under "k", whose lock another process has then.
func lockedByAnother(t *testing.T) (dir string, b *Backend, at place, held *guard) {
	t.Helper()
	dir = t.TempDir()
	b = open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	at, err := b.place("k")
	if err == nil {
		held, err = open(t, dir, Options{}).lock(t.Context(), at, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, b, at, held
}

// wantFiles checks what lies in dir and below, lock files left out.
func wantFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), "lock-") {
			rel, _ := filepath.Rel(dir, path)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

func TestNewDoesNoIO(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	b := open(t, dir, Options{})
	if _, err := b.Load(t.Context(), DefaultKey); !errors.Is(err, core.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load = %v, want ErrNotFound and fs.ErrNotExist", err)
	}
	if ok, err := b.Check(t.Context(), DefaultKey); ok || err != nil {
		t.Errorf("Check = %v, %v", ok, err)
	}
	if err := b.Delete(t.Context(), DefaultKey); err != nil {
		t.Error(err)
	}
	for key, err := range b.Keys(t.Context()) {
		t.Errorf("Keys = %q, %v", key, err)
	}
	if _, err := b.Save(t.Context(), DefaultKey, core.Record{Data: record(1, 0), Version: "12-34"}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save over nothing = %v, want ErrConflict", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestNewRefusesWhatCanNameNoFile(t *testing.T) {
	if _, err := New("", Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("New of an empty directory = %v", err)
	}
	for _, prefix := range []string{"a/b", `a\b`, "../", "a:", "a\x00", "a\n", strings.Repeat("p", 255)} {
		var e *core.Error
		if _, err := New(t.TempDir(), Options{Prefix: prefix}); !errors.Is(err, core.ErrInvalidKey) || !errors.As(err, &e) {
			t.Errorf("New with prefix %.20q = %v, want ErrInvalidKey", prefix, err)
		}
	}
}

func TestKeysNameFiles(t *testing.T) {
	long := strings.Repeat("é", 75)
	tests := []struct{ prefix, key, file string }{
		{"", "o365_token.txt", "o365_token.txt"},
		{"", "ana@contoso.com", "ana%40contoso.com"},
		{"", "a/../b", "a%2F..%2Fb"},
		{"", ".", "%%"},
		{"", "..", "%%"},
		{"", ".graphtoken", "%%"},
		{".graph", "token", ".graph%%"},
		{"", ".graphtoken.txt", ".graphtoken.txt"},
		{"", ".hidden", ".hidden"},
		{"app-", "..", "app-.."},
		{"", strings.Repeat("k", 150), strings.Repeat("k", 150)},
		{"", long, "%%"},
		{"thirteen-byte", long, "thirteen-byte%%"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.20q", tt.prefix+tt.key), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, Options{Prefix: tt.prefix})
			save(t, b, tt.key, record(1, 0), core.Absent)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				if e.Name() != helpers {
					names = append(names, e.Name())
				}
			}
			if len(names) != 1 || !strings.HasPrefix(names[0], tt.file) || !strings.HasSuffix(tt.file, "%%") && names[0] != tt.file {
				t.Errorf("the files are %q, want %q", names, tt.file)
			}
			for key, err := range b.Keys(t.Context()) {
				if key != tt.key || err != nil {
					t.Errorf("Keys = %q, %v, want %q", key, err, tt.key)
				}
			}
		})
	}
}

func TestALongPrefixRefusesOnlyTheKeysItLeavesNoRoomFor(t *testing.T) {
	b := open(t, t.TempDir(), Options{Prefix: strings.Repeat("p", 100)})
	save(t, b, strings.Repeat("k", 150), record(1, 0), core.Absent)
	save(t, b, "ana@contoso.com", record(1, 0), core.Absent)
	if _, err := b.Load(t.Context(), strings.Repeat("@", 100)); !errors.Is(err, core.ErrInvalidKey) {
		t.Errorf("Load = %v, want ErrInvalidKey", err)
	}
}

func TestFilesOfOtherProgramsAreNoKeys(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{Prefix: "app-"})
	save(t, b, "mine", record(1, 0), core.Absent)
	for _, name := range []string{"app-", "app-%zz", "app-%61", "app-lower%c3", "other", "app-two words"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "app-dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key, err := range b.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if !slices.Equal(keys, []string{"mine"}) {
		t.Errorf("Keys = %q", keys)
	}
}

func TestABrokenFileIsCorruptAndNamed(t *testing.T) {
	tests := []struct{ state, data string }{
		{"empty", ""},
		{"blank", " \n"},
		{"cut after a brace", `{"AccessToken": {"a": {"secret": "x"}`},
		{"cut in a string", `{"AccessToken": {"a": {"secret": "x`},
		{"cut before the end, indented", "{\n    \"AccessToken\": {}"},
	}
	for _, tt := range tests {
		t.Run(tt.state, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, DefaultKey)
			if err := os.WriteFile(path, []byte(tt.data), 0o600); err != nil {
				t.Fatal(err)
			}
			b := open(t, dir, Options{})
			_, err := b.Load(t.Context(), DefaultKey)
			if !errors.Is(err, core.ErrCorrupt) || errors.Is(err, core.ErrNotFound) || !strings.Contains(err.Error(), path) {
				t.Errorf("Load = %v, want ErrCorrupt with the path", err)
			}
			if ok, err := b.Check(t.Context(), DefaultKey); !ok || err != nil {
				t.Errorf("Check = %v, %v: something is stored", ok, err)
			}
			if _, err := b.Save(t.Context(), DefaultKey, core.Record{Data: record(1, 0), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save as new = %v, want ErrConflict", err)
			}
			save(t, b, DefaultKey, record(1, 0), core.AnyVersion)
		})
	}
}

func TestDataIsOpaque(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	for _, data := range []string{"{", "{{{", "{\x00", `{"`[:1] + "\x80\"", "\x00\x00", `{"a": "{"}`, `{"a": "}{{"}`, "gAAAAAB{{{"} {
		save(t, b, "k", []byte(data), core.AnyVersion)
		if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != data {
			t.Errorf("Load of %q = %q, %v", data, rec.Data, err)
		}
	}
}

func TestLoadWaitsOutAWriterInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, DefaultKey)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Millisecond, func() { os.WriteFile(path, []byte("{}"), 0o600) })
		rec, err := open(t, dir, Options{}).Load(t.Context(), DefaultKey)
		if err != nil || string(rec.Data) != "{}" {
			t.Errorf("Load = %q, %v", rec.Data, err)
		}
	})
}

func TestARecordThatIsNoFileIsAnErrorOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "k"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir, Options{})
	_, loadErr := b.Load(t.Context(), "k")
	_, checkErr := b.Check(t.Context(), "k")
	_, saveErr := b.Save(t.Context(), "k", core.Record{Data: record(1, 0), Version: core.AnyVersion})
	for op, err := range map[string]error{"Load": loadErr, "Check": checkErr, "Save": saveErr} {
		if err == nil || errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(dir, "k")) {
			t.Errorf("%s of a directory = %v", op, err)
		}
	}
	wantFiles(t, dir)
}

func TestADirectoryThatIsALinkToNowhereIsNamedInTheError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	if err := os.Symlink("unmounted", dir); err != nil {
		t.Skip(err)
	}
	b := open(t, dir, Options{})
	if _, err := b.Save(t.Context(), "k", core.Record{Data: record(1, 0), Version: core.AnyVersion}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Save = %v", err)
	}
	if _, err := b.Acquire(t.Context(), "k", time.Minute); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Acquire = %v", err)
	}
}

func TestAReadOnlyFileSystemIsErrReadOnly(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	err := backend.Do(t.Context(), b.with(origin.Op("save", "k")), func() error { return &fs.PathError{Op: "open", Path: "k", Err: syscall.EROFS} })
	if !errors.Is(err, core.ErrReadOnly) || !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
}

func TestAFailedSaveKeepsTheRecordAndLeavesNoTemporary(t *testing.T) {
	dir, b, _, guard := lockedByAnother(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Save(ctx, "k", core.Record{Data: record(2, 0), Version: core.AnyVersion}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Save = %v", err)
	}
	guard.unlock()
	wantFiles(t, dir, "k")
	if rec, err := b.Load(t.Context(), "k"); err != nil || !bytes.Equal(rec.Data, record(1, 0)) {
		t.Errorf("Load = %q, %v", rec.Data, err)
	}
}

func TestASaveWritesWithoutTheLock(t *testing.T) {
	dir, b, at, guard := lockedByAnother(t)
	saved := make(chan error, 1)
	go func() {
		_, err := b.Save(t.Context(), "k", core.Record{Data: record(2, 0), Version: core.AnyVersion})
		saved <- err
	}()
	// The new record is whole while somebody else has the lock.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if data, err := os.ReadFile(tempFile(dir, at.stripe())); err == nil && bytes.Equal(data, record(2, 0)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
	}
	// Files that are in use aren't swept.
	if err := b.removeDeadTemps(guard, at.stripe()); err != nil {
		t.Error(err)
	}
	guard.unlock()
	if err := <-saved; err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, "k")
}

func TestASaveGoesOnWhereItsTemporaryWasRemoved(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	at, err := b.place("k")
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDirectories(at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	s := saving{b: b, at: at, rec: core.Record{Data: record(2, 0), Version: core.AnyVersion}, directories: d}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(tempFile(dir, at.stripe())); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(t.Context(), "k"); !errors.Is(err, errMoved) {
		t.Errorf("commit = %v, want errMoved: the save begins again", err)
	}
	if rec, err := b.Load(t.Context(), "k"); err != nil || !bytes.Equal(rec.Data, record(1, 0)) {
		t.Errorf("Load = %q, %v", rec.Data, err)
	}
}

func TestASaveRemovesAFileInThePlaceOfItsTemporary(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	at, _ := b.place("k")
	for _, end := range []string{"", ".0123456789abcdef"} {
		if err := os.WriteFile(tempFile(dir, at.stripe())+end, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(t, b, "k", record(2, 0), core.AnyVersion)
	wantFiles(t, dir, "k")
}

func TestTheFirstSaveSweepsUnderEveryLock(t *testing.T) {
	for _, o := range []Options{{}, {NoFileLocks: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			dir := t.TempDir()
			save(t, open(t, dir, o), "k", record(1, 0), core.Absent)
			for stripe := range stripes {
				for _, end := range []string{"", ".0123456789abcdef"} {
					if err := os.WriteFile(tempFile(dir, stripe)+end, []byte("half"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			// The temporary file of a save under way stays.
			busy := open(t, dir, o)
			at, _ := busy.place("busy")
			guard, err := busy.lock(t.Context(), at, nil)
			if err != nil {
				t.Fatal(err)
			}
			inUse := filepath.Base(tempFile(dir, at.stripe()))

			save(t, open(t, dir, o), "k", record(2, 0), core.AnyVersion)
			wantFiles(t, dir, "k", helpers+"/"+inUse, helpers+"/"+inUse+".0123456789abcdef")
			guard.unlock()
			save(t, open(t, dir, o), "k", record(3, 0), core.AnyVersion)
			wantFiles(t, dir, "k")
		})
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	at, _ := b.place("k")
	for path, data := range map[string]string{
		tempFile(dir, at.stripe()): "half",
		leaseFile(at):              "\x00dead 99999999999999999999 locked  \n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
}

func TestPingLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	b := open(t, dir, Options{})
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Ping(t.Context()); err == nil {
		t.Error("Ping of a file succeeded")
	}
}

func TestAWaitForAStuckSaveHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := open(t, dir, Options{})
		save(t, b, "k", record(1, 0), core.Absent)
		at, _ := b.place("k")
		stuck, err := os.OpenFile(lockFile(dir, at.stripe()), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer stuck.Close()
		if ok, err := atomicfile.TryLock(stuck, true); !ok || err != nil {
			t.Fatal(ok, err)
		}

		began := time.Now()
		_, err = b.Save(t.Context(), "k", core.Record{Data: record(2, 0), Version: core.AnyVersion})
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < lockPatience || !strings.Contains(err.Error(), stuck.Name()) {
			t.Errorf("Save after %v = %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Delete(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Delete = %v, want the context's error", err)
		}
		if rec, err := b.Load(t.Context(), "k"); err != nil || !bytes.Equal(rec.Data, record(1, 0)) {
			t.Errorf("Load = %q, %v", rec.Data, err)
		}
	})
}

func TestAnAbandonedLockFileIsBrokenByOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, saver := open(t, dir, Options{NoFileLocks: true}), open(t, dir, Options{NoFileLocks: true})
		v := save(t, saver, "k", record(0, 0), core.Absent) // and the first save removes what killed processes left
		at, _ := b.place("k")
		stuck, err := b.lock(t.Context(), at, nil)
		if err != nil {
			t.Fatal(err)
		}
		late := helperFile(dir, stuck.temp)
		if err := os.WriteFile(late, record(1, 0), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		save(t, saver, "k", record(2, 0), v)
		if waited := time.Since(began); waited < brokenAfter || waited > lockPatience {
			t.Errorf("broken after %v", waited)
		}
		// The stuck one goes on: too late.
		if err := os.Rename(late, at.record()); err == nil {
			t.Error("the late save succeeded")
		}
		next, err := open(t, dir, Options{NoFileLocks: true}).lock(t.Context(), at, nil)
		if err != nil {
			t.Fatal(err)
		}
		stuck.unlock()
		if _, err := os.Stat(lockFile(dir, at.stripe()) + ".held"); err != nil {
			t.Errorf("the late unlock freed a successor's lock: %v", err)
		}
		next.unlock()
		wantFiles(t, dir, "k")
	})
}

// A holder makes the file and then writes its name into it. A waiter that looks in between
// must not believe, the next time that happens, that the file was there all the time.
func TestALockFileWithoutAnOwnerIsNotTakenForAnEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := open(t, dir, Options{NoFileLocks: true})
		save(t, b, "k", record(1, 0), core.Absent)
		at, err := b.place("k")
		if err != nil {
			t.Fatal(err)
		}
		held := lockFile(dir, at.stripe()) + ".held"
		for _, made := range []time.Time{time.Unix(1000, 0), time.Unix(2000, 0)} {
			if err := errors.Join(os.WriteFile(held, nil, 0o600), os.Chtimes(held, made, made)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), brokenAfter/2)
			if _, err := b.lock(ctx, at, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("lock = %v, although another process has it", err)
			}
			cancel()
			if err := os.Remove(held); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
		}
		// One whose holder died before it wrote is broken all the same.
		if err := os.WriteFile(held, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := b.lock(t.Context(), at, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.unlock()
	})
}

func TestALeaseOutlivesItsVariable(t *testing.T) {
	dir := t.TempDir()
	if _, err := open(t, dir, Options{}).Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		runtime.GC()
	}
	if _, err := open(t, dir, Options{}).Acquire(t.Context(), "k", time.Hour); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire = %v, want ErrLeaseHeld", err)
	}
}

// A holder makes the file, locks it and writes the claim, in this order. So no process that
// looks is in its way.
func TestALeaseFileWithoutAClaimIsNotLockedByALook(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	at, err := b.place("k")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(leaseFile(at))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if locked, err := atomicfile.TryLock(f, true); !locked {
		t.Fatal(err)
	}
	// With a look at the lock, the lease would seem to be held.
	if found, held, err := b.lookAtLease(at); !found || held || err != nil {
		t.Errorf("lookAtLease = %v, %v, %v", found, held, err)
	}
}

// On another machine, the file of a holder that lives isn't locked.
func TestALeaseWithoutFileLocksIsHeldAlthoughItsFileIsUnlocked(t *testing.T) {
	dir, o := t.TempDir(), Options{NoFileLocks: true}
	b := open(t, dir, o)
	save(t, b, "k", record(1, 0), core.Absent)
	for _, there := range []string{"no lease file", "a lease file that has expired"} {
		l, err := b.acquire(t.Context(), "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.file.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir, o).Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("Acquire beside a lease that was taken when there was %s = %v", there, err)
		}
		b.now = func() time.Time { return time.Now().Add(time.Minute) }
	}
}

// A timer closes the file of a lease that was forgotten. If the wall clock was set back, the
// claim seems to last on, but the lock is gone.
func TestARenewalOfALeaseWhoseFileIsClosedIsTooLate(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	l, err := b.acquire(t.Context(), "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l.end.Reset(0)
	testkit.Until(t, "the file is closed", func() bool {
		_, err := l.file.Stat()
		return err != nil
	})
	if err := l.Renew(t.Context(), time.Hour); !errors.Is(err, core.ErrLeaseLost) {
		t.Errorf("Renew = %v, want ErrLeaseLost", err)
	}
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Errorf("Acquire of the lease that was lost = %v", err)
	}
}

func TestReleaseLeavesNoLeaseFile(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	lease, err := b.Acquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, helpers+"/leases/k")
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir)
}

// A process that saves doesn't keep another from a free lease.
func TestAFreeLeaseIsTakenWithoutTheLock(t *testing.T) {
	dir, b, _, guard := lockedByAnother(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lease, err := b.Acquire(ctx, "k", time.Minute)
	if err != nil {
		t.Fatalf("Acquire = %v, while somebody has the record's lock", err)
	}
	if _, err := open(t, dir, Options{}).Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("another Acquire = %v, want ErrLeaseHeld", err)
	}
	guard.unlock()
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, "k")
}

// A dead holder's lease is taken over under the lock, and a free one without it.
func TestOfManyThatWantADeadHoldersLeaseOneGetsIt(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	at, err := b.place("k")
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		dead, err := b.acquire(t.Context(), "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		dead.abandon()
		var all sync.WaitGroup
		leases := make(chan core.Lease, 8)
		for range 8 {
			one := open(t, dir, Options{})
			all.Go(func() {
				l, err := one.Acquire(t.Context(), "k", time.Minute)
				switch {
				case err == nil:
					leases <- l
				case !errors.Is(err, core.ErrLeaseHeld):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(leases) != 1 {
			t.Fatalf("%d hold the lease in %s", len(leases), leaseFile(at))
		}
		if err := (<-leases).Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantFiles(t, dir, "k")
}

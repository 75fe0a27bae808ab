//go:build unix

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

func TestARemovedLockFileLetsNoSecondProcessIn(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, Options{}), open(t, dir, Options{})
	save(t, a, "k", record(0, 0), core.Absent)
	at, _ := a.place("k")
	held, err := a.lock(t.Context(), at, nil) // a is in the middle of a save
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(lockFile(dir, at.stripe())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.lock(ctx, at, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lock = %v: two hold the lock of one record", err)
	}
	held.unlock()
	next, err := b.lock(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	next.unlock()
}

// A waiter keeps the lock file open from one try to the next.
func TestAWaiterDoesNotLockAFileThatAnotherHasReplaced(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, "k", record(0, 0), core.Absent)
	at, _ := b.place("k")
	root, err := os.OpenRoot(filepath.Join(dir, helpers))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	name := lockName(at.stripe())
	var first, waiter, second fileLock
	defer waiter.close()
	unlock, err := first.try(root, name)
	if err != nil || unlock == nil {
		t.Fatal("the first holder has no lock", err)
	}
	if got, err := waiter.try(root, name); got != nil || err != nil || waiter.file == nil {
		t.Fatal("the waiter doesn't wait with an open file", err)
	}
	if err := root.Remove(name); err != nil {
		t.Fatal(err)
	}
	unlock()
	unlock, err = second.try(root, name)
	if err != nil || unlock == nil {
		t.Fatal("the second holder has no lock", err)
	}
	if got, _ := waiter.try(root, name); got != nil {
		t.Error("two hold the lock: the waiter has it on the removed file")
	}
	unlock()
	if got, err := waiter.try(root, name); got == nil {
		t.Error("the waiter doesn't get the lock that is free:", err)
	} else {
		got()
	}
}

// A waiter keeps the directories open from one try to the next.
func TestAWaiterDoesNotLockADirectoryThatWasReplaced(t *testing.T) {
	dir, b, at, held := lockedByAnother(t)
	waiter := &lockTries{b: b, at: at, owner: newOwner()}
	defer waiter.close()
	if g, err := waiter.next(); g != nil || err != nil || waiter.d == nil {
		t.Fatal("the waiter doesn't wait with open directories", err)
	}
	// A backup is restored, for example.
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	save(t, b, "k", record(1, 0), core.Absent)
	held.unlock()
	if g, err := waiter.next(); g != nil || err != nil {
		t.Fatal("the waiter has the lock in the old directory, where its save would be lost", err)
	}
	g, err := waiter.next()
	if err != nil || g == nil {
		t.Fatal("the waiter doesn't get the lock that is free:", err)
	}
	defer g.unlock()
	if !g.areNamed() {
		t.Error("the lock is in the old directory")
	}
}

// Cleaners remove old, empty files: systemd-tmpfiles, find -empty -delete.
func TestNoUpdateIsLostWhileLockFilesAreRemoved(t *testing.T) {
	const each = 50
	dir := t.TempDir()
	save(t, open(t, dir, Options{}), "k", record(0, 0), core.Absent)
	stop := make(chan struct{})
	var cleaner, savers sync.WaitGroup
	var removed atomic.Int64
	cleaner.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			files, _ := filepath.Glob(filepath.Join(dir, helpers, "lock-*"))
			for _, f := range files {
				if os.Remove(f) == nil {
					removed.Add(1)
				}
			}
		}
	})
	for range 3 {
		b := open(t, dir, Options{})
		savers.Go(func() {
			for n := 0; n < each; {
				rec, err := b.Load(t.Context(), "k")
				if err != nil {
					t.Error(err)
					return
				}
				stored, _ := numberOf(rec.Data)
				_, err = b.Save(t.Context(), "k", core.Record{Data: record(stored+1, 0), Version: rec.Version})
				switch {
				case err == nil:
					n++
				case !errors.Is(err, core.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	savers.Wait()
	close(stop)
	cleaner.Wait()
	rec, err := open(t, dir, Options{}).Load(t.Context(), "k")
	if n, _ := numberOf(rec.Data); err != nil || n != 3*each {
		t.Errorf("%d saves were acknowledged, and the record counts %d (%v)", 3*each, n, err)
	}
	if removed.Load() == 0 {
		t.Error("no lock file was removed: the test proves nothing")
	}
}

// wallClock is a clock that somebody sets.
type wallClock struct{ ahead atomic.Int64 }

func (c *wallClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())).Round(0) }

func (c *wallClock) backend(t *testing.T, dir string, o Options) *Backend {
	b := open(t, dir, o)
	b.now = c.now
	return b
}

func TestAStepOfTheClockTakesNoLeaseAndKeepsNone(t *testing.T) {
	if boot().id == "" {
		peer.Wanted(t, "a boot's number", "this system doesn't tell one boot from another")
	}
	for _, o := range []Options{{}, {NoFileLocks: true}} {
		for _, step := range []time.Duration{time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("%+v, %v", o, step), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				var clock wallClock
				a, b := clock.backend(t, dir, o), clock.backend(t, dir, o)
				held, err := a.Acquire(t.Context(), "lives", 45*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				const short = 50 * time.Millisecond
				if _, err := a.Acquire(t.Context(), "dies", short); err != nil {
					t.Fatal(err)
				}
				clock.ahead.Store(int64(step))
				if _, err := b.Acquire(t.Context(), "lives", time.Second); !errors.Is(err, core.ErrLeaseHeld) {
					t.Errorf("Acquire of a live holder's lease = %v", err)
				}
				if err := held.Renew(t.Context(), 45*time.Second); err != nil {
					t.Errorf("Renew = %v", err)
				}
				if err := b.Wait(t.Context(), "dies", core.Absent); err != nil {
					t.Fatal(err)
				}
				next, err := b.Acquire(t.Context(), "dies", time.Second)
				if err != nil {
					t.Fatalf("Acquire of a lease that expired = %v", err)
				}
				for _, l := range []core.Lease{held, next} {
					if err := l.Release(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func TestAClaimOfAnotherMachineIsBelievedForItsTTLAtMost(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{NoFileLocks: true})
	var ahead time.Duration
	b.now = func() time.Time { return time.Now().Add(ahead) }
	l, err := b.acquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	stored := readClaim(l.file)
	if stored.Owner != l.owner {
		t.Fatalf("the lease file says %+v", stored)
	}
	// Its clock was an hour ahead, and was set right after its holder died.
	stored.Expires = moment{stored.Expires.Wall.Add(time.Hour), "another", stored.Expires.Up}
	if err := writeClaim(l.file, stored); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		held  bool
	}{{0, true}, {59 * time.Second, true}, {time.Minute, false}} {
		ahead = step.after
		if _, held, err := b.lookAtLease(l.at); held != step.held || err != nil {
			t.Errorf("after %v: held = %v, %v", step.after, held, err)
		}
	}
}

func TestALinkAmongTheHelpersIsNotFollowed(t *testing.T) {
	for _, link := range []string{helpers, helpers + "/lock-", helpers + "/temp-", helpers + "/" + leases, helpers + "/" + leases + "/k"} {
		t.Run(link, func(t *testing.T) {
			dir, home := t.TempDir(), t.TempDir()
			b := open(t, dir, Options{})
			at, _ := b.place("k")
			if strings.HasSuffix(link, "-") {
				link += fmt.Sprintf("%02x", at.stripe())
			}
			// The user's files, which no link may overwrite.
			for _, name := range []string{"k", "there"} {
				if err := os.WriteFile(filepath.Join(home, name), []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(home, leases), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, target := range []string{home, filepath.Join(home, "there"), filepath.Join(home, "absent")} {
				os.Remove(filepath.Join(dir, link))
				if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				_, _ = b.Save(ctx, "k", core.Record{Data: record(1, 0), Version: core.AnyVersion})
				if l, err := b.Acquire(ctx, "k", time.Minute); err == nil {
					_ = l.Release(ctx)
				}
				_ = b.Ping(ctx)
				_ = b.Delete(ctx, "k")
				cancel()
			}
			wantFiles(t, home, "k", "there")
			for _, name := range []string{"k", "there"} {
				if got, err := os.ReadFile(filepath.Join(home, name)); err != nil || string(got) != "mine" {
					t.Errorf("%s is %q, %v", name, got, err)
				}
			}
		})
	}
}

func TestPingNamesADirectoryThatOthersCanWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	b := open(t, dir, Options{})
	save(t, b, "k", record(1, 0), core.Absent)
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o770, 0o777, 0o777 | fs.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := b.Ping(t.Context()); !errors.Is(err, core.ErrUnsafeDirectory) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: Ping = %v", mode, err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(dir, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := b.Ping(t.Context()); !errors.Is(err, core.ErrUnsafeDirectory) || !strings.Contains(err.Error(), dir) {
		t.Errorf("another's: Ping = %v", err)
	}
}

func TestFilesThatRootCreatesStayUsableByTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		peer.Wanted(t, "root", "run the tests as root")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 1000, 1001); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "k")
	if err := os.WriteFile(file, record(1, 0), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(file, 1000, 1001), os.Chmod(file, 0o640)); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir, Options{})
	l, err := b.Acquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	save(t, b, "k", record(2, 0), core.AnyVersion)
	save(t, b, "k2", record(2, 0), core.Absent)
	wantMode(t, file, 0o640)
	wantMode(t, filepath.Join(dir, helpers), 0o700)
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if s := info.Sys().(*syscall.Stat_t); s.Uid != 1000 || s.Gid != 1001 {
			t.Errorf("%s belongs to %d:%d", path, s.Uid, s.Gid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnAcquireWhoseCallerLeavesKeepsNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Duration(i) * time.Microsecond)
			cancel()
		}()
		l, err := b.Acquire(ctx, "k", time.Hour)
		if err == nil {
			err = l.Release(t.Context())
		} else if errors.Is(err, context.Canceled) {
			err = nil
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wantFiles(t, dir)
}

// folding is a directory that takes names which differ in case for one.
func folding(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GRAPHTOKEN_TEST_FOLDING")
	if dir == "" {
		dir = foldingMount(t)
	}
	dir, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// foldingMount mounts NTFS, which needs root, FUSE and ntfs-3g.
func foldingMount(t *testing.T) string {
	t.Helper()
	const how = "set GRAPHTOKEN_TEST_FOLDING to a directory that folds case, or run as root with ntfs-3g"
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ntfs", "-q", "-F", image}, {"lowntfs-3g", "-o", "ignore_case,umask=077", image, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			peer.Wanted(t, "a directory that folds case", how+": "+err.Error()+string(out))
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return dir
}

func TestCaseIsFoldedWhereTheDirectoryFoldsIt(t *testing.T) {
	dir := filepath.Join(folding(t), "tokens")
	b := open(t, dir, Options{})
	for n, key := range []string{"session-AbC", "session-aBc", "SESSION-ABC", "session-abc"} {
		if _, err := b.Load(t.Context(), key); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s, which nobody saved: %v", key, err)
		}
		save(t, b, key, record(n, 0), core.Absent)
	}
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	other := open(t, dir, Options{})
	for n, key := range []string{"session-AbC", "session-aBc", "SESSION-ABC", "session-abc"} {
		rec, err := other.Load(t.Context(), key)
		if got, _ := numberOf(rec.Data); err != nil || got != n {
			t.Errorf("%s is %d, %v; want %d", key, got, err, n)
		}
	}
	keys := 0
	for key, err := range open(t, dir, Options{}).Keys(t.Context()) {
		if keys++; err != nil || !strings.EqualFold(key, "session-abc") {
			t.Errorf("Keys = %q, %v", key, err)
		}
	}
	if keys != 4 {
		t.Errorf("%d keys", keys)
	}
}

func TestWhetherADirectoryFoldsCaseIsFoundOutByWhatIsThere(t *testing.T) {
	for state, prepare := range map[string]func(dir string) (casing, error){
		"nothing":          func(string) (casing, error) { return casingUnknown, nil },
		"names of no case": func(dir string) (casing, error) { return casingUnknown, os.WriteFile(dir+"/12", nil, 0o600) },
		"a file":           func(dir string) (casing, error) { return casingKept, os.WriteFile(dir+"/a", nil, 0o600) },
		"helpers":          func(dir string) (casing, error) { return casingKept, os.Mkdir(dir+"/"+helpers, 0o700) },
		"helpers in both": func(dir string) (casing, error) {
			return casingKept, errors.Join(os.Mkdir(dir+"/"+helpers, 0o700), os.Mkdir(dir+"/"+backend.SwapCase(helpers), 0o700))
		},
		"a file, and links": func(dir string) (casing, error) {
			return casingKept, errors.Join(os.WriteFile(dir+"/a", nil, 0o600), os.Link(dir+"/a", dir+"/A"))
		},
	} {
		t.Run(state, func(t *testing.T) {
			dir := t.TempDir()
			want, err := prepare(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := casingOf(dir); got != want || err != nil {
				t.Errorf("casingOf = %v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestAPersistentHandleSeesADirectoryOfTheOtherKind(t *testing.T) {
	top := folding(t)
	dir := filepath.Join(t.TempDir(), "tokens")
	b := open(t, dir, Options{})
	save(t, b, "Key", record(1, 0), core.Absent)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(top, dir); err != nil {
		t.Fatal(err)
	}
	save(t, b, "Key", record(2, 0), core.Absent)
	save(t, b, "kEY", record(3, 0), core.Absent)
	if rec, err := b.Load(t.Context(), "Key"); err != nil || string(rec.Data) != string(record(2, 0)) {
		t.Errorf("Load = %s, %v", strconv.Quote(string(rec.Data)), err)
	}
}

func TestALeaseThatIsTakenWithoutTheLockIsNotRemovedUnderIt(t *testing.T) {
	dir := t.TempDir()
	mine, theirs := open(t, dir, Options{}), open(t, dir, Options{})
	at, err := mine.place("k")
	if err != nil {
		t.Fatal(err)
	}
	guard, err := mine.lock(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := theirs.Acquire(t.Context(), "k", time.Minute) // there is no lease file, so it needs no lock
	if err != nil {
		t.Fatal(err)
	}
	late := &lease{b: mine, at: at, owner: newOwner()}
	if err := late.take(guard, time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("taking the lease under the lock = %v, want core.ErrLeaseHeld", err)
	}
	guard.unlock()
	if err := l.Renew(t.Context(), time.Minute); err != nil {
		t.Errorf("the lease that was taken first: %v", err)
	}
}

func TestADeletionRemovesNoLeaseThatIsTakenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	mine, theirs := open(t, dir, Options{}), open(t, dir, Options{})
	for n := range 300 {
		save(t, mine, "k", record(n, 10), core.AnyVersion)
		deleted := make(chan error, 1)
		go func() { deleted <- mine.Delete(t.Context(), "k") }()
		l, err := theirs.Acquire(t.Context(), "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(<-deleted, l.Renew(t.Context(), time.Minute), l.Release(t.Context())); err != nil {
			t.Fatalf("try %d: %v", n, err)
		}
	}
}

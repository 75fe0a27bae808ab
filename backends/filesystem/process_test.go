//go:build unix

package filesystem

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

// The tests here run this binary again, as the other processes that share a
// directory. Two variables make them longer:
//
//	GRAPHTOKEN_KILLS=10000   how many savers are killed
//	GRAPHTOKEN_LOADS=1000000 how many loads are made beside writers
const (
	roleVar = "GRAPHTOKEN_TEST_ROLE"
	dirVar  = "GRAPHTOKEN_TEST_DIR"
)

var roles = map[string]func(*Backend) error{
	"save":          saveForever,
	"save in place": saveInPlaceForever,
	"hold":          holdLease,
	"refresh":       refreshAll,
	"full":          saveTooMuch,
	"denied":        reportDenied,
}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleVar)]
	if !ok {
		os.Exit(m.Run())
	}
	b, err := New(os.Getenv(dirVar), Options{})
	if err == nil {
		err = role(b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process is another process, which we talk with in lines.
type process struct {
	*testkit.Process
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t testing.TB, role, dir string, with ...func(*exec.Cmd)) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range with {
		f(cmd)
	}
	return &process{testkit.Start(t, cmd, os.Kill), in, bufio.NewScanner(out)}
}

// line is the next line the process says, or "" when it says no more.
func (p *process) line() string {
	p.out.Scan()
	return p.out.Text()
}

func count(t *testing.T, variable string, short int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		return short
	}
	return n
}

// numberOf is the n of a whole record.
func numberOf(data []byte) (int, error) {
	var r struct{ N int }
	err := json.Unmarshal(data, &r)
	return r.N, err
}

// saveForever saves record after record, and says each number when it is safe.
func saveForever(b *Backend) error {
	ctx := context.Background()
	rec, err := b.Load(ctx, DefaultKey)
	if errors.Is(err, core.ErrNotFound) {
		rec, err = core.Record{Data: record(0, 0), Version: core.Absent}, nil
	}
	if err != nil {
		return err
	}
	n, err := numberOf(rec.Data)
	if err != nil {
		return err
	}
	v := rec.Version
	for {
		n++
		if v, err = b.Save(ctx, DefaultKey, core.Record{Data: record(n, 6<<10), Version: v}); err != nil {
			return err
		}
		if _, err := os.Stdout.WriteString(strconv.Itoa(n) + "\n"); err != nil {
			return err
		}
	}
}

func TestKilledSavesLoseNothingAndLeaveNoLitter(t *testing.T) {
	kills := count(t, "GRAPHTOKEN_KILLS", 200)
	dir := filepath.Join(t.TempDir(), "tokens")
	midway := 0
	for i := range kills {
		p := start(t, "save", dir)
		last, err := strconv.Atoi(p.line())
		if err != nil {
			t.Fatal("the saver saved nothing: ", err)
		}
		// Anywhere in one of the next saves.
		time.Sleep(rand.N(2 * time.Millisecond))
		p.Signal(t, os.Kill)
		for said := p.line(); said != ""; said = p.line() {
			if n, err := strconv.Atoi(said); err == nil {
				last = n
			}
		}
		p.End(t, os.Kill)

		rec, err := open(t, dir, Options{}).Load(t.Context(), DefaultKey)
		if err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
		n, err := numberOf(rec.Data)
		if err != nil || n != last && n != last+1 {
			t.Fatalf("after kill %d: the record is %d (%v); %d was saved, %d perhaps", i, n, err, last, last+1)
		}
		if temps, _ := filepath.Glob(filepath.Join(dir, helpers, "temp-*")); len(temps) > 0 || n != last {
			midway++
		}
		save(t, open(t, dir, Options{}), DefaultKey, record(n, 6<<10), rec.Version)
		wantFiles(t, dir, DefaultKey)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d kills were in the middle of a save", midway, kills)
	if midway == 0 && kills >= 100 {
		t.Error("no kill was in the middle of a save: the test proves nothing")
	}
}

func TestLoadsBesideWritersAreWhole(t *testing.T) {
	loads := count(t, "GRAPHTOKEN_LOADS", 20_000)
	dir := t.TempDir()
	b := open(t, dir, Options{})
	p := start(t, "save", dir)
	if p.line() == "" {
		t.Fatal("the saver saved nothing")
	}
	go func() {
		for p.line() != "" {
		}
	}()
	last, changes := 0, 0
	for range loads {
		rec, err := b.Load(t.Context(), DefaultKey)
		if err != nil {
			t.Fatal(err)
		}
		// All of it is there, though parsing it each time would take longer.
		if !bytes.HasPrefix(rec.Data, []byte(`{"n": `)) || !bytes.HasSuffix(rec.Data, []byte(`x"}`)) || len(rec.Data) < 6<<10 {
			t.Fatalf("a torn record of %d bytes", len(rec.Data))
		}
		n, err := strconv.Atoi(strings.TrimPrefix(strings.SplitN(string(rec.Data[:20]), ",", 2)[0], `{"n": `))
		if err != nil || n < last {
			t.Fatalf("record %d after record %d (%v)", n, last, err)
		}
		if n != last {
			changes++
		}
		last = n
	}
	t.Logf("%d loads saw %d records", loads, changes)
	if changes < 2 {
		t.Error("the writer wrote nothing: the test proves nothing")
	}
}

// saveInPlaceForever does as python-o365 does.
func saveInPlaceForever(b *Backend) error {
	for n := 1; ; n++ {
		if err := os.WriteFile(filepath.Join(b.dir, DefaultKey), record(n, 6<<10), 0o644); err != nil {
			return err
		}
		if n == 1 {
			fmt.Println("saved")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLoadsBesideAWriterInPlaceAreWholeOrCorrupt(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	p := start(t, "save in place", dir)
	if p.line() == "" {
		t.Fatal("the saver saved nothing")
	}
	for range 2_000 {
		rec, err := b.Load(t.Context(), DefaultKey)
		if errors.Is(err, core.ErrCorrupt) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(rec.Data) {
			t.Fatalf("a torn record of %d bytes", len(rec.Data))
		}
	}
}

// holdLease takes the lease, and gives account of what became of it when it is
// told to go on.
func holdLease(b *Backend) error {
	ctx := context.Background()
	ttl, err := time.ParseDuration(os.Getenv("GRAPHTOKEN_TEST_TTL"))
	if err != nil {
		return err
	}
	rec, err := b.Load(ctx, DefaultKey)
	if err != nil {
		return err
	}
	lease, err := b.Acquire(ctx, DefaultKey, ttl)
	if err != nil {
		return err
	}
	fmt.Println("held")
	bufio.NewScanner(os.Stdin).Scan()
	rec.Data = record(666, 0)
	_, err = b.Save(ctx, DefaultKey, rec)
	fmt.Println("conflict:", errors.Is(err, core.ErrConflict))
	fmt.Println("lost:", errors.Is(lease.Renew(ctx, ttl), core.ErrLeaseLost))
	fmt.Println("lost:", errors.Is(lease.Release(ctx), core.ErrLeaseLost))
	return nil
}

func ttl(d time.Duration) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, "GRAPHTOKEN_TEST_TTL="+d.String()) }
}

func TestAFrozenHolderIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	v := save(t, b, DefaultKey, record(1, 0), core.Absent)
	const life = time.Second
	p := start(t, "hold", dir, ttl(life))
	if said := p.line(); said != "held" {
		t.Fatalf("the holder says %q", said)
	}
	p.Signal(t, syscall.SIGSTOP)
	frozen := time.Now()
	if _, err := b.Acquire(t.Context(), DefaultKey, life); !errors.Is(err, core.ErrLeaseHeld) {
		t.Fatalf("Acquire at once = %v, want ErrLeaseHeld", err)
	}
	if err := b.Wait(t.Context(), DefaultKey, v); err != nil {
		t.Fatal(err)
	}
	lease, err := b.Acquire(t.Context(), DefaultKey, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(frozen); waited > life+200*time.Millisecond {
		t.Errorf("taken over after %v, the lease lasted %v", waited, life)
	}
	save(t, b, DefaultKey, record(2, 0), v)

	p.Signal(t, syscall.SIGCONT)
	fmt.Fprintln(p.in, "go on")
	for _, want := range []string{"conflict: true", "lost: true", "lost: true"} {
		if said := p.line(); said != want {
			t.Errorf("the late holder says %q, want %q", said, want)
		}
	}
	if err := lease.Renew(t.Context(), time.Hour); err != nil {
		t.Errorf("the successor: %v", err)
	}
	if _, err := open(t, dir, Options{}).Acquire(t.Context(), DefaultKey, life); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire = %v: the late holder freed its successor's lease", err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if rec, err := b.Load(t.Context(), DefaultKey); err != nil || !bytes.Equal(rec.Data, record(2, 0)) {
		t.Errorf("Load = %q, %v", rec.Data, err)
	}
	wantFiles(t, dir, DefaultKey)
}

func TestADeadHoldersLeaseIsFreeAtOnce(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	v := save(t, b, DefaultKey, record(1, 0), core.Absent)
	p := start(t, "hold", dir, ttl(time.Hour))
	if said := p.line(); said != "held" {
		t.Fatalf("the holder says %q", said)
	}
	if _, err := b.Acquire(t.Context(), DefaultKey, time.Hour); !errors.Is(err, core.ErrLeaseHeld) {
		t.Fatalf("Acquire = %v, want ErrLeaseHeld", err)
	}
	woken := make(chan error)
	go func() { woken <- b.Wait(t.Context(), DefaultKey, v) }()
	p.End(t, os.Kill)
	if err := <-woken; err != nil {
		t.Error(err)
	}
	lease, err := b.Acquire(t.Context(), DefaultKey, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, DefaultKey)
}

// expiries is how often the token of TestManyProcessesRefreshOnce expires.
const expiries = 3

// refreshAll refreshes the record until it is number expiries, and says so
// for each refresh that it did itself.
func refreshAll(b *Backend) error {
	ctx := context.Background()
	bufio.NewScanner(os.Stdin).Scan()
	for {
		rec, err := b.Load(ctx, DefaultKey)
		if err != nil {
			return err
		}
		if n, err := numberOf(rec.Data); n == expiries || err != nil {
			return err
		}
		_, err = b.ShouldRefresh(ctx, DefaultKey, core.RefreshRequest{
			Seen: rec.Version,
			Refresh: func(ctx context.Context, current core.Record) error {
				n, err := numberOf(current.Data)
				if err != nil {
					return err
				}
				time.Sleep(20 * time.Millisecond) // the provider takes its time
				fmt.Println("refreshed")
				_, err = b.Save(ctx, DefaultKey, core.Record{Data: record(n+1, 6<<10), Version: current.Version})
				return err
			},
		})
		if err != nil {
			return err
		}
	}
}

func TestManyProcessesRefreshOnce(t *testing.T) {
	dir := t.TempDir()
	save(t, open(t, dir, Options{}), DefaultKey, record(0, 6<<10), core.Absent)
	var processes []*process
	for range 8 {
		processes = append(processes, start(t, "refresh", dir))
	}
	for _, p := range processes {
		fmt.Fprintln(p.in, "go")
	}
	refreshes := 0
	for _, p := range processes {
		for p.line() != "" {
			refreshes++
		}
		if code := p.ExitCode(); code != 0 {
			t.Errorf("a process ended with %d", code)
		}
	}
	if refreshes != expiries {
		t.Errorf("%d refreshes of %d expiries", refreshes, expiries)
	}
	wantFiles(t, dir, DefaultKey)
}

// saveTooMuch saves on what is, for this process, a full disk.
func saveTooMuch(b *Backend) error {
	limit := syscall.Rlimit{Cur: 4 << 10, Max: 4 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	_, err := b.Save(context.Background(), DefaultKey, core.Record{Data: record(2, 6<<10), Version: core.AnyVersion})
	fmt.Println(err)
	return nil
}

func TestAFullDiskKeepsTheRecord(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	save(t, b, DefaultKey, record(1, 0), core.Absent)
	said := start(t, "full", dir).line()
	if !strings.HasPrefix(said, `filesystem: save "o365_token.txt": write `) {
		t.Errorf("Save says %q", said)
	}
	wantFiles(t, dir, DefaultKey)
	if rec, err := b.Load(t.Context(), DefaultKey); err != nil || !bytes.Equal(rec.Data, record(1, 0)) {
		t.Errorf("Load = %q, %v", rec.Data, err)
	}
}

func reportDenied(b *Backend) error {
	ctx := context.Background()
	_, loadErr := b.Load(ctx, "k")
	_, checkErr := b.Check(ctx, "k")
	_, saveErr := b.Save(ctx, "k", core.Record{Data: record(2, 0), Version: core.AnyVersion})
	_, leaseErr := b.Acquire(ctx, "k", time.Hour)
	for op, err := range map[string]error{
		"Load": loadErr, "Check": checkErr, "Save": saveErr, "Acquire": leaseErr, "Delete": b.Delete(ctx, "k"), "Ping": b.Ping(ctx),
	} {
		if !errors.Is(err, os.ErrPermission) || errors.Is(err, core.ErrNotFound) {
			fmt.Println(op, "=", err)
		}
	}
	fmt.Println("done")
	return nil
}

// forNobody makes the process an unprivileged user's: root is denied nothing.
func forNobody(t *testing.T, cmd *exec.Cmd) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The test binary lies where only root can run it.
	exe, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(dir, "test")
	if err := os.WriteFile(cmd.Path, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func TestDeniedIsNotAbsent(t *testing.T) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	save(t, open(t, dir, Options{}), "k", record(1, 0), core.Absent)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	p := start(t, "denied", dir, func(cmd *exec.Cmd) {
		if os.Getuid() == 0 {
			forNobody(t, cmd)
		}
	})
	for said := p.line(); said != "done"; said = p.line() {
		t.Errorf("not denied: %q", said)
		if said == "" {
			return
		}
	}
}

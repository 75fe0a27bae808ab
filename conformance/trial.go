package conformance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// trial is one case that is tried. It is the T of that case; the harness gets the
// *testing.T instead, if there is one.
type trial struct {
	ctx      context.Context
	name     string
	want     Capabilities
	leaseTTL time.Duration
	patience time.Duration // the time for events that should happen promptly
	label    string        // marks the goroutines that the case started

	host T
	env  Env
	tools
	anotherStore func() Env // Harness.New once more

	mu       sync.Mutex
	over     bool // later reports no longer count
	failures []string
	logs     []string
	skipped  string
	backend  core.TokenBackend // the first one opened
	undo     []func()          // by the case itself
	cleanups []func()          // by the harness, where it has no *testing.T
}

// result is a Case, and facts that only the suite needs.
type result struct {
	Case
	needs   need
	backend core.TokenBackend
	// excused: skipped because something isn't claimed or can't be done here, not because
	// Skip names it.
	excused bool
}

var trials atomic.Int64

// try runs one case until it ends or its time is over. In a program, t is nil.
func (h *Harness) try(ctx context.Context, t *testing.T, g string, k testCase) result {
	r := result{Case: Case{Name: g + "/" + k.name, Requirement: k.must.sentence, Outcome: Skipped}, needs: k.needs}
	for _, name := range []string{r.Name, g} {
		if reason, ok := h.Skip[name]; ok {
			r.Detail = "by the harness: " + reason
			return r
		}
	}
	if r.Detail = h.Want.lacks(k.needs); r.Detail != "" {
		r.excused = true
		return r
	}
	if ctx.Err() != nil {
		r.Detail = "not run: " + context.Cause(ctx).Error()
		return r
	}
	timeout := h.Timeout
	if h.waitedInVain {
		timeout /= 4
	}
	c := newTrial(t, r.Name, timeout)
	c.want, c.leaseTTL = h.Want, h.LeaseTTL
	begun := time.Now()
	r.Outcome, r.Detail, r.excused = c.run(ctx, timeout, func() {
		c.env = h.New(c.host)
		if c.env == nil {
			c.Fatalf("Harness.New returned nil")
		}
		c.tools = toolsOf(c.host, c.env)
		c.anotherStore = func() Env { return h.New(c.host) }
		if reason := c.tools.lacks(k.needs); reason != "" {
			c.skipped = reason
			return
		}
		k.run(c)
	})
	r.backend = c.backend
	if r.Outcome == Failed && time.Since(begun) > c.patience {
		h.waitedInVain = true
	}
	return r
}

// newTrial returns the trial of the case called name. In a program, t is nil.
func newTrial(t *testing.T, name string, timeout time.Duration) *trial {
	c := &trial{
		name:     name,
		patience: timeout / 4,
		label:    fmt.Sprintf("%s#%d", name, trials.Add(1)),
	}
	c.host = c
	if t != nil {
		c.host = t
	}
	return c
}

// run runs body until it ends or its time is over, and returns how it ended. A case that
// is skipped is excused: something isn't claimed, or can't be done here.
func (c *trial) run(ctx context.Context, timeout time.Duration, body func()) (o Outcome, detail string, excused bool) {
	caseCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.ctx = unsteady{caseCtx}
	c.within(timeout, cancel, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	switch {
	case ctx.Err() != nil:
		return Skipped, "not run to its end: " + context.Cause(ctx).Error(), false
	case c.failures != nil:
		return Failed, strings.Join(append(c.failures, c.logs...), "\n"), false
	case c.skipped != "":
		return Skipped, c.skipped, true
	}
	return Passed, strings.Join(c.logs, "\n"), false
}

// grace is how long a case may take after its context is cancelled.
const grace = time.Second

// within runs body, and then its undo functions. A body that hangs is abandoned: its
// goroutine can't be stopped, but its reports no longer count.
func (c *trial) within(timeout time.Duration, cancel context.CancelCauseFunc, body func()) {
	done := make(chan struct{})
	go pprof.Do(c.ctx, pprof.Labels("conformance", c.label), func(context.Context) {
		defer close(done)
		c.guard(func() {
			defer c.cleanUp()
			body()
		})
	})
	clock := time.NewTimer(timeout)
	defer clock.Stop()
	select {
	case <-done:
		return
	case <-c.ctx.Done(): // from outside
	case <-clock.C:
		c.note(&c.failures, fmt.Sprintf("it was not over after %v", timeout))
		cancel(errors.New("the case took too long"))
	}
	select {
	case <-done:
	case <-time.After(grace):
		c.note(&c.failures, "it goes on though its context is cancelled, and is left behind:\n"+goroutines(c.label))
		c.mu.Lock()
		c.over = true
		c.mu.Unlock()
	}
}

// guard runs f, and makes a panic in it a failure of the case. Every goroutine that a
// case starts is guarded.
func (c *trial) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			c.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f()
}

// cleanUp undoes what the case did, and closes what the harness opened if no *testing.T
// does that.
func (c *trial) cleanUp() {
	for _, list := range []*[]func(){&c.undo, &c.cleanups} {
		for {
			c.mu.Lock()
			n := len(*list)
			if n == 0 || c.over {
				c.mu.Unlock()
				break
			}
			f := (*list)[n-1]
			*list = (*list)[:n-1]
			c.mu.Unlock()
			c.guard(f)
		}
	}
}

// later calls f when the case is over, before the harness closes its store.
func (c *trial) later(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undo = append(c.undo, f)
}

// open opens one more handle.
func (c *trial) open() core.TokenBackend {
	c.mu.Lock()
	over := c.over
	c.mu.Unlock()
	if over {
		runtime.Goexit() // a *testing.T must not be used after its test
	}
	b := c.env.Open(c.host)
	if b == nil {
		c.Fatalf("the harness's Open returned nil")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.backend == nil {
		c.backend = b
	}
	return b
}

// pair opens two handles, as two processes would have.
func (c *trial) pair() (a, b core.TokenBackend) { return c.open(), c.open() }

// together runs f in n goroutines and waits for them. They begin as nearly at the same
// time as possible: each spins until all have come. Goroutines that are woken one after
// the other would be done one after the other.
func (c *trial) together(n int, f func(i int)) {
	var running sync.WaitGroup
	var missing atomic.Int64
	missing.Store(int64(n))
	for i := range n {
		running.Go(func() {
			missing.Add(-1)
			for missing.Load() > 0 {
				runtime.Gosched()
			}
			c.guard(func() { f(i) })
		})
	}
	running.Wait()
}

// unsteady is a context that delays its caller a little, now and then, when asked whether
// it is done. A backend asks that when it begins a step. So if an operation has two steps
// that should be one, another operation gets its turn between them.
type unsteady struct{ context.Context }

func (u unsteady) Err() error {
	switch rand.IntN(8) {
	case 0, 1, 2:
		runtime.Gosched()
	case 3:
		time.Sleep(rand.N(50 * time.Microsecond))
	}
	return u.Context.Err()
}

// rounds calls f a few times, and many times on a fast store: a fault between two steps
// of a backend shows only now and then.
func (c *trial) rounds(f func(round int)) {
	begun := time.Now()
	for round := 0; round < 3 || round < 500 && time.Since(begun) < 150*time.Millisecond; round++ {
		if f(round); c.Failed() || c.ctx.Err() != nil {
			return
		}
	}
}

// enough limits the time that a case spends on numbers alone. A slow store is tried with
// smaller numbers, and the case says so.
func (c *trial) enough() time.Duration { return min(c.patience/5, time.Second) }

// often calls f most times, one after the other. Once it has called it least times and
// had enough time, it stops early. It returns the number of calls.
func (c *trial) often(least, most int, f func(i int)) int {
	begun := time.Now()
	for i := range most {
		if i >= least && time.Since(begun) > c.enough() {
			c.Logf("tried %d times instead of %d: one try takes long", i, most)
			return i
		}
		if f(i); c.Failed() || c.ctx.Err() != nil {
			return i
		}
	}
	return most
}

// spread calls f for each number from first up to, but not including, end, in a few
// goroutines. When its time is over, it stops early. It has called f for all numbers
// below the one that it returns.
func (c *trial) spread(first, end int, within time.Duration, f func(i int)) int {
	begun := time.Now()
	return c.share(first, end, func() bool { return time.Since(begun) < within }, f)
}

// all is spread without a limit of time. A failure ends the case.
func (c *trial) all(n int, f func(i int)) {
	c.share(0, n, func() bool { return true }, f)
}

func (c *trial) share(first, end int, goOn func() bool, f func(i int)) int {
	var mu sync.Mutex
	next := first
	take := func() (int, bool) {
		if c.ctx.Err() != nil || c.Failed() || !goOn() {
			return 0, false
		}
		mu.Lock()
		defer mu.Unlock()
		if next == end {
			return 0, false
		}
		next++
		return next - 1, true
	}
	c.together(8, func(int) {
		for i, ok := take(); ok; i, ok = take() {
			f(i)
		}
	})
	if c.Failed() {
		runtime.Goexit()
	}
	return next
}

// crowd is most on a fast store, and least on a slow one, where so many callers would be
// a burden to other programs.
func (c *trial) crowd(b core.TokenBackend, least, most int) int {
	const looks, quick = 5, 5 * time.Millisecond
	begun := time.Now()
	for range looks {
		_, _ = b.Check(c.ctx, key)
	}
	if time.Since(begun) > looks*quick {
		c.Logf("tried with %d at one time instead of %d: the store takes long", least, most)
		return least
	}
	return most
}

// The T of a case.

func (c *trial) Helper()                  {}
func (c *trial) Name() string             { return c.name }
func (c *trial) Context() context.Context { return c.ctx }

func (c *trial) TempDir() string {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		c.Fatalf("no temporary directory: %v", err)
	}
	c.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (c *trial) Cleanup(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanups = append(c.cleanups, f)
}

func (c *trial) Logf(format string, args ...any) {
	c.note(&c.logs, fmt.Sprintf(format, args...))
}

func (c *trial) Errorf(format string, args ...any) {
	c.note(&c.failures, where()+": "+fmt.Sprintf(format, args...))
}

func (c *trial) Fatalf(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// skip ends the case because it can't be tried here.
func (c *trial) skip(format string, args ...any) {
	c.mu.Lock()
	c.skipped = fmt.Sprintf(format, args...)
	c.mu.Unlock()
	runtime.Goexit()
}

// Failed reports whether the case has failed already.
func (c *trial) Failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.failures) > 0
}

// note keeps the first few of messages that may come a thousand times.
func (c *trial) note(list *[]string, text string) {
	const most = 5
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over && len(*list) < most && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// where returns the line of the case that reports: the first line outside of this file
// and of the functions that cases share.
func where() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		switch path.Base(f.File) {
		case "trial.go", "expect.go", "panic.go", "cryptotrial.go":
		default:
			return source(f.File, f.Line)
		}
		if !more {
			return source(f.File, f.Line)
		}
	}
}

// goroutines describes the goroutines with the label: those that a case started, and
// those that these started.
func goroutines(label string) string {
	var all, found bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return err.Error()
	}
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(stack, strconv.Quote(label)) {
			found.WriteString(stack + "\n\n")
		}
	}
	return strings.TrimSpace(found.String())
}

// countGoroutines returns how many goroutines have the label.
func countGoroutines(label string) int {
	total := 0
	lines := bufio.NewScanner(strings.NewReader(goroutines(label)))
	for lines.Scan() {
		if n, _, ok := strings.Cut(lines.Text(), " @ "); ok {
			count, _ := strconv.Atoi(n)
			total += count
		}
	}
	return total
}

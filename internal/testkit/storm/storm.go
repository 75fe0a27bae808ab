// Package storm is a load test: the tokens of many users expire at once, as in a web
// service after a deployment or an outage. Every user has a record, and several stores
// are all asked for every user's token at the same time. The provider's refresh tokens
// are valid for one use.
//
// The provider limits how fast a storm can be: n users take at least n ×
// [Latency] ÷ [AtOnce].
package storm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Options says how many users ask, and through what.
type Options struct {
	Users    int
	Stores   int  // in this process, each over a backend of its own
	Shuffled bool // each store is asked for the users in an order of its own
	LeaseTTL time.Duration
	// OneRecord puts all users into one record, instead of one each.
	OneRecord bool
	// Beside runs beside the storm, on the first of the stores, until ctx is done. Nil
	// is for nothing.
	Beside func(ctx context.Context, s *core.Store) `json:"-"`
}

// key names a user's record.
func (o Options) key(user string) string {
	if o.OneRecord {
		return "everybody"
	}
	return user
}

// Result is how a storm went.
type Result struct {
	Wall, Ideal time.Duration
	Refreshes   int            // that the provider was asked for
	Spent       int            // refresh tokens that were presented again
	Failed      int            // calls of Token
	Errors      map[string]int // what they said
	Calls       map[string]int64
	Processor   time.Duration // of this process
	PeakMB      int           // of the heap and the stacks
}

// Ratio is how many times longer it took than the provider needs.
func (r Result) Ratio() float64 { return float64(r.Wall) / float64(r.Ideal) }

// PerRefresh is how often the store was called for each refresh, by everybody.
func (r Result) PerRefresh() float64 {
	total := int64(0)
	for _, n := range r.Calls {
		total += n
	}
	return float64(total) / float64(max(r.Refreshes, 1))
}

func (r Result) String() string {
	var calls []string
	for _, op := range slices.Sorted(maps.Keys(r.Calls)) {
		calls = append(calls, fmt.Sprintf("%.1f %s", float64(r.Calls[op])/float64(max(r.Refreshes, 1)), op))
	}
	return fmt.Sprintf("%.2f × the ideal %v; %d refreshes, %d spent, %d failed calls %v; %.1f calls per refresh (%s); %.1f s of processor; %d MB",
		r.Ratio(), r.Ideal, r.Refreshes, r.Spent, r.Failed, r.Errors, r.PerRefresh(), strings.Join(calls, ", "), r.Processor.Seconds(), r.PeakMB)
}

// Run signs the users in through the first backend, with tokens that have expired,
// and then asks for all of them at once. open returns one more backend over the
// same records.
func Run(t testing.TB, o Options, open func() core.TokenBackend) Result {
	t.Helper()
	p := NewProvider()
	counts := newCounts()
	var stores []*core.Store
	for range o.Stores {
		stores = append(stores, core.NewStore(counts.over(open()), core.WithLeaseTTL(o.LeaseTTL)))
	}
	SignIn(t, p, open(), o)
	counts.reset()

	c := gather(stores, o, 0, p.Refresh)
	watch, used := watchMemory(), processorTime()
	end := beside(t.Context(), o, stores[0])
	began := time.Now()
	c.ask()
	end()
	r := Result{Ideal: Ideal(o.Users), Wall: time.Since(began), Failed: c.failed, Errors: c.errors, Calls: counts.all()}
	for _, s := range stores {
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r.PeakMB, r.Processor = watch(), processorTime()-used
	r.Refreshes, r.Spent = p.Refreshes()
	return r
}

// beside starts what runs beside the storm, and returns what ends it.
func beside(ctx context.Context, o Options, s *core.Store) (end func()) {
	if o.Beside == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.Beside(ctx, s)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// callers are all who ask for a token at once.
type callers struct {
	start chan struct{}
	done  sync.WaitGroup

	mu     sync.Mutex
	failed int
	errors map[string]int
}

// gather makes a caller for each user of each store; the first store has the given
// number among all. They wait for ask.
func gather(stores []*core.Store, o Options, first int, f core.RefreshFunc) *callers {
	c := &callers{start: make(chan struct{}), errors: make(map[string]int)}
	var ready sync.WaitGroup
	for n, s := range stores {
		for _, user := range order(o.Users, o.Shuffled, first+n) {
			ready.Add(1)
			c.done.Go(func() {
				ready.Done()
				<-c.start
				c.note(ask(context.Background(), s, o.key(user), user, f))
			})
		}
	}
	ready.Wait()
	return c
}

// ask has all of them ask, and returns when each has its answer.
func (c *callers) ask() {
	close(c.start)
	c.done.Wait()
}

func (c *callers) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed++
	c.errors[err.Error()]++
}

// Want fails the test unless there was one refresh for each user, and no call failed.
func (r Result) Want(t testing.TB, users int) {
	t.Helper()
	t.Log(r)
	if r.Refreshes != users || r.Spent != 0 || r.Failed != 0 {
		t.Errorf("%d refreshes for %d users, %d spent refresh tokens, %d failed calls: %v", r.Refreshes, users, r.Spent, r.Failed, r.Errors)
	}
}

// Bench runs storms, in the same order and shuffled, and reports how many times
// longer they took than the provider needs, and what they cost. make opens an empty
// store for each, and returns what Run wants.
func Bench(b *testing.B, o Options, make func(testing.TB) func() core.TokenBackend) {
	bench(b, o, func(b *testing.B, o Options) Result { return Run(b, o, make(b)) })
}

// BenchProcesses is Bench with a process for each store. make makes an empty store, and
// returns where it is; open is what Work was given.
func BenchProcesses[W any](b *testing.B, o Options, make func(testing.TB) W, open func(where W) (core.TokenBackend, error)) {
	bench(b, o, func(b *testing.B, o Options) Result { return RunProcesses(b, o, make(b), open) })
}

func bench(b *testing.B, o Options, run func(*testing.B, Options) Result) {
	for _, o.Shuffled = range []bool{false, true} {
		b.Run(fmt.Sprintf("users=%d/shuffled=%t", o.Users, o.Shuffled), func(b *testing.B) {
			var ratio, calls, processor, peak float64
			for b.Loop() {
				r := run(b, o)
				r.Want(b, o.Users)
				ratio += r.Ratio()
				calls += r.PerRefresh()
				processor += r.Processor.Seconds()
				peak += float64(r.PeakMB)
			}
			n := float64(b.N)
			b.ReportMetric(0, "ns/op") // it says less than the ratio
			b.ReportMetric(ratio/n, "×ideal")
			b.ReportMetric(calls/n, "calls/refresh")
			b.ReportMetric(processor/n, "processor-s")
			b.ReportMetric(peak/n, "MB")
		})
	}
}

// SignIn keeps a first token of every user, which has expired.
func SignIn(t testing.TB, p *Provider, b core.TokenBackend, o Options) {
	t.Helper()
	s := core.NewStore(b)
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, user := range order(o.Users, false, 0) {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			r := p.signIn(user)
			r.RefreshToken += ".0"
			if _, err := s.Put(t.Context(), o.key(user), r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// Ideal is what the provider alone needs.
func Ideal(users int) time.Duration { return time.Duration(users) * Latency / AtOnce }

func ask(ctx context.Context, s *core.Store, key, user string, f core.RefreshFunc) error {
	q := tokencache.Query{HomeAccountID: user + "." + tenant, ClientID: clientID, Scopes: []string{"User.Read"}}
	at, err := s.TokenSource(key, q, f).Token(ctx)
	if err == nil && !time.Now().Before(at.ExpiresOn) {
		err = errors.New("an expired token was served")
	}
	return err
}

// order is the users' names, by store.
func order(users int, shuffled bool, store int) []string {
	names := make([]string, users)
	for i := range names {
		names[i] = fmt.Sprintf("u%05d", i)
	}
	if shuffled {
		rand.New(rand.NewPCG(7, uint64(store))).Shuffle(users, func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	return names
}

// watchMemory returns a function that tells the most memory that was in use until
// it is called.
func watchMemory() (peak func() int) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	var most uint64
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse+m.StackInuse)
			select {
			case <-tick.C:
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	return func() int {
		close(stop)
		<-stopped
		return int(most >> 20)
	}
}

// counts counts the calls of several backends.
type counts struct {
	ops map[string]*atomic.Int64
}

func newCounts() *counts {
	c := &counts{ops: make(map[string]*atomic.Int64)}
	for _, op := range []string{"load", "save", "check", "delete", "acquire", "renew", "release", "wait"} {
		c.ops[op] = new(atomic.Int64)
	}
	return c
}

func (c *counts) reset() {
	for _, n := range c.ops {
		n.Store(0)
	}
}

func (c *counts) all() map[string]int64 {
	all := make(map[string]int64)
	for op, n := range c.ops {
		if n.Load() != 0 {
			all[op] = n.Load()
		}
	}
	return all
}

// over returns b with its calls counted. A backend that coordinates goes on doing
// so, by the one algorithm there is.
func (c *counts) over(b core.TokenBackend) core.TokenBackend {
	counted := &counted{TokenBackend: b, counts: c}
	l, ok := core.As[core.Leaser](b)
	if !ok {
		return counted
	}
	leased := &countedLeaser{counted, l}
	if w, ok := core.As[core.Watcher](b); ok {
		return &countedWatcher{leased, w}
	}
	return leased
}

type counted struct {
	core.TokenBackend
	*counts
}

func (b *counted) Load(ctx context.Context, key string) (core.Record, error) {
	b.ops["load"].Add(1)
	return b.TokenBackend.Load(ctx, key)
}

func (b *counted) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	b.ops["save"].Add(1)
	return b.TokenBackend.Save(ctx, key, rec)
}

// Place is that of the backend, which counting doesn't change.
func (b *counted) Place() any {
	if l, ok := b.TokenBackend.(core.Locator); ok {
		return l.Place()
	}
	return b.TokenBackend
}

func (b *counted) Unwrap() core.TokenBackend { return b.TokenBackend }

type countedLeaser struct {
	*counted
	leaser core.Leaser
}

func (b *countedLeaser) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func (b *countedLeaser) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	b.ops["acquire"].Add(1)
	l, err := b.leaser.Acquire(ctx, key, ttl)
	if err != nil {
		return nil, err
	}
	return &countedLease{l, b.counts}, nil
}

type countedWatcher struct {
	*countedLeaser
	watcher core.Watcher
}

func (b *countedWatcher) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func (b *countedWatcher) Wait(ctx context.Context, key string, seen core.Version) error {
	b.ops["wait"].Add(1)
	return b.watcher.Wait(ctx, key, seen)
}

type countedLease struct {
	core.Lease
	counts *counts
}

func (l *countedLease) Renew(ctx context.Context, ttl time.Duration) error {
	l.counts.ops["renew"].Add(1)
	return l.Lease.Renew(ctx, ttl)
}

func (l *countedLease) Release(ctx context.Context) error {
	l.counts.ops["release"].Add(1)
	return l.Lease.Release(ctx)
}

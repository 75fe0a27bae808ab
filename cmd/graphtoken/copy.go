package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/stores"
)

type copyCommand struct {
	From   string `arg:"" help:"The store to copy from, with #NAME for one record."`
	To     string `arg:"" help:"The store to copy to. #NAME gives the one record another name."`
	DryRun bool   `env:"-" help:"Tell what would be done, and save nothing."`
	JSON   bool   `name:"json" env:"-" help:"As JSON, at the end."`
}

// Help is what kong shows below the command's first line.
func (copyCommand) Help() string {
	return `A record that is equal at both places is skipped, so an interrupted copy can be called again. A record that is there already is replaced only if each of its tokens' owners is in the new one, too, and the new one is newer. Each copy is read back and compared. With keys, records are decrypted and encrypted again with the first key; without, they are copied as they are.`
}

// The results of copying a record.
const (
	didCopy    = "copied"
	didReplace = "replaced"
	didSkip    = "equal"
	didKeep    = "kept"    // what is there is newer
	didRefuse  = "refused" // what is there may be worth more
	didLose    = "gone"
	didFail    = "failed"
)

// copied is the result for one record.
type copied struct {
	Record  string `json:"record"`
	Outcome string `json:"outcome"`
	Why     string `json:"why,omitempty"`

	err error // as Why
}

// errIncomplete is the error of a copy, a purge or another run over many records of which
// some failed. The command has named them.
var errIncomplete = errors.New("some records are left as they were")

// incompleteError is errIncomplete because of a record that can't be read, which the exit
// code and the advice tell.
type incompleteError struct{ unread error }

func (e *incompleteError) Error() string { return errIncomplete.Error() }

func (e *incompleteError) Unwrap() []error { return []error{errIncomplete, e.unread} }

// incomplete is the error of a run that left records as they were, for these reasons.
func incomplete(reasons []error) error {
	for _, err := range reasons {
		if errors.Is(err, core.ErrDecrypt) || errors.Is(err, core.ErrCorrupt) || errors.Is(err, core.ErrLegacyToken) || errors.Is(err, errBound) {
			return &incompleteError{err}
		}
	}
	return errIncomplete
}

func (cmd *copyCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	m, err := cmd.open(ctx, s)
	if err != nil {
		return err
	}
	defer m.close()
	keys, err := m.keys(ctx)
	if err != nil {
		return err
	}
	shown := newProgress(c, len(keys), cmd.JSON)
	done, err := m.all(ctx, keys, shown.done)
	shown.end()
	if cmd.JSON {
		if failed := writeJSON(c.out, map[string]any{"from": m.from.String(), "to": m.to.String(), "dry_run": cmd.DryRun, "records": done}); failed != nil {
			return errors.Join(err, failed)
		}
	}
	count := make(map[string]int)
	var reasons []error
	for _, d := range done {
		count[d.Outcome]++
		reasons = append(reasons, d.err)
	}
	would := ""
	if cmd.DryRun {
		would = "Nothing is saved in a dry run: "
	}
	c.say(would+"%d copied, %d replaced, %d equal, %d kept as newer, %d refused, %d failed.", count[didCopy], count[didReplace], count[didSkip], count[didKeep], count[didRefuse], count[didFail])
	if left := len(keys) - len(done); left > 0 {
		c.say("%d of %d records are left: call copy again.", left, len(keys))
	}
	switch {
	case err != nil:
		return err
	case count[didFail]+count[didRefuse] > 0:
		return incomplete(reasons)
	case len(keys) == 0 || count[didLose] == len(keys):
		return m.from.about(core.ErrNotFound)
	}
	return nil
}

// copying is one run of copy.
type copying struct {
	from, to  place
	manager   core.CryptographyManager // nil: records are copied as they are
	plaintext bool                     // with a manager: records that aren't encrypted are accepted
	dryRun    bool
}

func (cmd *copyCommand) open(ctx context.Context, s *session) (*copying, error) {
	m := &copying{plaintext: s.PlaintextReads, dryRun: cmd.DryRun}
	keyring, err := s.keyring(ctx)
	if err != nil {
		return nil, err
	}
	if keyring != nil {
		m.manager = keyring
	}
	if m.from, err = openStore(ctx, "FROM", cmd.From, stores.Options{}, allRecords); err != nil {
		return nil, err
	}
	if m.to, err = openStore(ctx, "TO", cmd.To, stores.Options{Migrate: !cmd.DryRun}, allRecords); err != nil {
		return nil, errors.Join(err, m.from.Close())
	}
	err = cmp.Or(m.from.about(m.from.own()), m.to.about(m.to.own()))
	switch {
	case err != nil:
	case m.to.ReadOnly:
		err = m.to.about(&core.Error{Op: "save", Backend: m.to.Kind, Key: m.to.Key, Err: core.ErrReadOnly})
	case m.from.Key == "" && m.to.Key != "":
		err = usageError(fmt.Sprintf("FROM is a store of many records and TO names one, %s: name one in FROM by #NAME, or end the path of TO with a slash", m.to.Key))
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *copying) close() { _ = errors.Join(m.from.Close(), m.to.Close()) }

// keys are the records to copy. All are listed first, because a store may hold a lock
// while it lists.
func (m *copying) keys(ctx context.Context) ([]string, error) {
	var keys []string
	for key, err := range m.from.records(ctx) {
		if err != nil {
			return nil, m.from.about(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, nil
}

// copiers is how many records are copied at the same time.
const copiers = 8

// all copies the records, and calls done for each, one at a time. Its error ended it early.
func (m *copying) all(ctx context.Context, keys []string, done func(copied)) ([]copied, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		queue   = make(chan string)
		mu      sync.Mutex
		results []copied
		workers sync.WaitGroup
	)
	for range min(copiers, len(keys)) {
		workers.Go(func() {
			for key := range queue {
				r, err := m.record(ctx, key)
				if err != nil && !ofOneRecord(err) {
					cancel(err) // the store's: the other records would fail, too
					continue
				}
				if r.Record = redact(key); err != nil {
					r.Outcome, r.Why, r.err = didFail, explain(err), err
				}
				mu.Lock()
				results = append(results, r)
				done(r)
				mu.Unlock()
			}
		})
	}
feed:
	for _, key := range keys {
		select {
		case queue <- key:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	workers.Wait()
	slices.SortFunc(results, func(a, b copied) int { return cmp.Compare(a.Record, b.Record) })
	return results, context.Cause(ctx)
}

// ofOneRecord reports whether an error concerns one record alone.
func ofOneRecord(err error) bool {
	for _, one := range []error{core.ErrDecrypt, core.ErrCorrupt, core.ErrLegacyToken, core.ErrTooLarge, core.ErrInvalidKey, core.ErrConflict, errBound, errReadBack} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

var (
	errBound    = errors.New("the record can't be read, and may be encrypted for its name: name its keys by --key-file to copy it under another name")
	errReadBack = errors.New("the copy reads back differently")
)

// recordTimeout limits the work on one record, which an interrupt doesn't end.
const recordTimeout = time.Minute

// record copies one record. A save is conditional on the version that was compared. If
// another program saved meanwhile, record compares again.
func (m *copying) record(ctx context.Context, key string) (copied, error) {
	if ctx.Err() != nil {
		return copied{}, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	name := cmp.Or(m.to.Key, key)
	source, err := m.from.Backend.Load(ctx, key)
	if errors.Is(err, core.ErrNotFound) {
		return copied{Outcome: didLose}, nil
	}
	if err != nil {
		return copied{}, m.from.about(err)
	}
	plain, err := m.decrypt(ctx, source.Data, key)
	if err != nil {
		return copied{}, m.from.about(err)
	}
	if _, err := tokencache.Parse(plain); err != nil && name != key {
		return copied{}, errBound
	}
	const most = 20
	for attempt := 0; ; attempt++ {
		r, err := m.save(ctx, name, plain)
		if !errors.Is(err, core.ErrConflict) || attempt == most {
			return r, m.to.about(err)
		}
	}
}

// save saves a record unless what is there is worth keeping.
func (m *copying) save(ctx context.Context, name string, plain []byte) (copied, error) {
	r := copied{Outcome: didCopy}
	there, err := m.to.Backend.Load(ctx, name)
	switch {
	case errors.Is(err, core.ErrNotFound):
		there = core.Record{Version: core.Absent}
	case err != nil:
		return r, err
	default:
		var old []byte
		if old, err = m.decrypt(ctx, there.Data, name); err != nil {
			return copied{Outcome: didRefuse, Why: "the record that is there can't be decrypted: " + explain(err), err: err}, nil
		}
		if r = compare(plain, old); r.Outcome != didReplace {
			return r, nil
		}
	}
	if m.dryRun {
		return r, nil
	}
	stored := plain
	if m.manager != nil {
		if stored, err = m.manager.Encrypt(ctx, plain, core.AssociatedData("", name)); err != nil {
			return r, err
		}
	}
	saved, err := m.to.Backend.Save(ctx, name, core.Record{Data: stored, Version: there.Version})
	if err != nil {
		return r, err
	}
	back, err := m.to.Backend.Load(ctx, name)
	if err != nil {
		return r, fmt.Errorf("%w: %w", errReadBack, err)
	}
	if back.Version == saved && !bytes.Equal(back.Data, stored) {
		return r, errReadBack
	}
	return r, nil
}

// decrypt returns a record's plaintext, or the record as it is if no keys are named.
func (m *copying) decrypt(ctx context.Context, stored []byte, key string) ([]byte, error) {
	if m.manager == nil {
		return stored, nil
	}
	plain, err := m.manager.Decrypt(ctx, bytes.Clone(stored), core.AssociatedData("", key))
	if errors.Is(err, core.ErrDecrypt) && m.plaintext {
		if _, sealed := tokencache.Parse(stored); sealed == nil {
			return stored, nil
		}
	}
	return plain, err
}

// compare decides whether a record may replace another.
func compare(source, there []byte) copied {
	if bytes.Equal(source, there) {
		return copied{Outcome: didSkip}
	}
	ours, err := tokencache.Parse(source)
	theirs, err2 := tokencache.Parse(there)
	if err != nil || err2 != nil {
		return copied{Outcome: didRefuse, Why: "another record is there, and which is newer can't be told: name the keys by --key-file, or remove it first"}
	}
	has := holders(ours)
	for _, h := range holders(theirs) {
		if !slices.Contains(has, h) {
			return copied{Outcome: didRefuse, Why: "the record that is there has tokens of others, too: sign them out there first"}
		}
	}
	if !newest(ours).After(newest(theirs)) {
		return copied{Outcome: didKeep, Why: "the record that is there is newer"}
	}
	return copied{Outcome: didReplace}
}

// newest is when the newest token of a record was obtained.
func newest(c *tokencache.Cache) (at time.Time) {
	tokens, err := inspect(c)
	if err != nil {
		return at
	}
	for _, t := range tokens {
		if t.CachedOn != nil && t.CachedOn.After(at) {
			at = *t.CachedOn
		}
	}
	return at
}

// progress shows a run over many records: a bar where a user looks on, plain lines
// elsewhere.
type progress struct {
	c     *console
	quiet bool // JSON follows
	bars  *mpb.Progress
	bar   *mpb.Bar
}

func newProgress(c *console, total int, quiet bool) *progress {
	p := &progress{c: c, quiet: quiet}
	if total > 1 && isTerminal(c.err) {
		p.bars = mpb.New(mpb.WithOutput(c.err), mpb.WithWidth(48))
		p.bar = p.bars.AddBar(int64(total), mpb.PrependDecorators(decor.CountersNoUnit("%d of %d")), mpb.AppendDecorators(decor.Percentage()))
	}
	return p
}

func (p *progress) done(r copied) {
	line := r.Outcome + "  " + printable(r.Record)
	if r.Why != "" {
		line += ": " + r.Why
	}
	switch {
	case p.bar != nil:
		if r.Why != "" {
			fmt.Fprintln(p.bars, line)
		}
		p.bar.Increment()
	case !p.quiet:
		fmt.Fprintln(p.c.out, line)
	}
}

// end leaves the bar as it is.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(false) // does nothing if it is full
		p.bars.Wait()
	}
}

// isTerminal reports whether a stream is a terminal. The null device, at which nobody reads
// or types, is none.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

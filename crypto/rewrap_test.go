package crypto_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/fernet"
)

// table is a backend in a map: it compares versions, lists, and counts saves.
type table struct {
	core.Uncoordinated
	mu      sync.Mutex
	records map[string]core.Record
	saves   map[string]int
	version int
	onLoad  func(key string)       // after a load, unlocked
	onSave  func(key string) error // before a save
}

func newTable() *table {
	return &table{records: map[string]core.Record{}, saves: map[string]int{}}
}

func (b *table) Load(ctx context.Context, key string) (core.Record, error) {
	if err := ctx.Err(); err != nil {
		return core.Record{}, &core.Error{Op: "load", Backend: "table", Key: key, Err: err}
	}
	b.mu.Lock()
	rec, ok := b.records[key]
	rec.Data = slices.Clone(rec.Data)
	b.mu.Unlock()
	if b.onLoad != nil {
		b.onLoad(key)
	}
	if !ok {
		return core.Record{}, &core.Error{Op: "load", Backend: "table", Key: key, Err: core.ErrNotFound}
	}
	return rec, nil
}

func (b *table) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	err := ctx.Err()
	if err == nil && b.onSave != nil {
		err = b.onSave(key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && rec.Version != core.AnyVersion && rec.Version != b.records[key].Version {
		err = core.ErrConflict
	}
	if err != nil {
		return "", &core.Error{Op: "save", Backend: "table", Key: key, Err: err}
	}
	b.version++
	b.saves[key]++
	v := core.Version(fmt.Sprint(b.version))
	b.records[key] = core.Record{Data: slices.Clone(rec.Data), Version: v}
	return v, nil
}

func (b *table) Check(ctx context.Context, key string) (bool, error) {
	_, err := b.Load(ctx, key)
	return err == nil, nil
}

func (b *table) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.records, key)
	return nil
}

// lister is a table whose keys can be listed.
type lister struct{ *table }

func (b lister) Keys(context.Context) iter.Seq2[string, error] {
	b.mu.Lock()
	keys := slices.Collect(maps.Keys(b.records))
	b.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

func (b *table) put(t testing.TB, key, data string) {
	t.Helper()
	if _, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: core.AnyVersion}); err != nil {
		t.Fatal(err)
	}
}

// fill stores n records, encrypted by m.
func fill(t testing.TB, b *table, m core.CryptographyManager, n int) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("user-%d", i)
		data, err := m.Encrypt(t.Context(), fmt.Appendf(nil, `{"AccessToken":{},"n":%d}`, i), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		b.put(t, key, string(data))
	}
	clear(b.saves)
}

// wantAll expects that n records are stored, all encrypted with m's primary key.
func wantAll(t *testing.T, b *table, m crypto.Rotator, n int) {
	t.Helper()
	if len(b.records) != n {
		t.Errorf("%d records are stored, want %d", len(b.records), n)
	}
	for key, rec := range b.records {
		got, err := m.Decrypt(t.Context(), rec.Data, []byte(key))
		if want := fmt.Sprintf(`{"AccessToken":{},"n":%s}`, strings.TrimPrefix(key, "user-")); err != nil || string(got) != want || m.NeedsRotation(rec.Data) {
			t.Errorf("%s: %q, %v; needs rotation: %v", key, got, err, m.NeedsRotation(rec.Data))
		}
	}
}

const fernetKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func fernetManager(t testing.TB) *fernet.Manager {
	t.Helper()
	m, err := fernet.New(fernetKey)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func transition(t testing.TB, next crypto.Rotator, former ...core.CryptographyManager) *crypto.Transition {
	t.Helper()
	m, err := crypto.NewTransition(next, former...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// plain is the manager of records that aren't encrypted.
type plain struct{}

func (plain) Encrypt(_ context.Context, b, _ []byte) ([]byte, error) { return b, nil }
func (plain) Decrypt(_ context.Context, b, _ []byte) ([]byte, error) { return b, nil }

func TestRewrapEncryptsAllThatNeedsItAndNothingElse(t *testing.T) {
	const n = 50
	for name, c := range map[string]struct {
		stored core.CryptographyManager
		by     crypto.Rotator
		plain  bool
	}{
		"an old key":           {stored: ring(t, fixed), by: ring(t, other, fixed)},
		"Fernet to keyring":    {stored: fernetManager(t), by: transition(t, ring(t, other), fernetManager(t))},
		"keyring to Fernet":    {stored: ring(t, other), by: transition(t, fernetManager(t), ring(t, other))},
		"plain to keyring":     {stored: plain{}, by: ring(t, other), plain: true},
		"everything is as new": {stored: ring(t, other), by: ring(t, other, fixed)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTable()
			fill(t, b, c.stored, n)
			current, err := c.by.Encrypt(t.Context(), []byte(`{"AccessToken":{},"n":50}`), []byte("user-50"))
			if err != nil {
				t.Fatal(err)
			}
			b.put(t, "user-50", string(current))
			clear(b.saves)
			needed := 0
			for _, rec := range b.records {
				if c.by.NeedsRotation(rec.Data) {
					needed++
				}
			}
			want := crypto.RewrapReport{Rewrapped: needed, Current: n + 1 - needed}

			var told []crypto.RewrapProgress
			o := crypto.RewrapOptions{Plaintext: c.plain, DryRun: true, Progress: func(p crypto.RewrapProgress) { told = append(told, p) }}
			if got, err := crypto.Rewrap(t.Context(), lister{b}, c.by, o); err != nil || got != want || len(b.saves) > 0 {
				t.Errorf("a dry run: %+v, %v, %d saves; want %+v", got, err, len(b.saves), want)
			}
			for i, p := range told {
				if p.Done != i+1 || p.Total != n+1 || p.Err != nil || p.Key == "" {
					t.Errorf("progress %d: %+v", i, p)
				}
			}
			if len(told) != n+1 {
				t.Errorf("%d records were told of, want %d", len(told), n+1)
			}

			o.DryRun = false
			if got, err := crypto.Rewrap(t.Context(), lister{b}, c.by, o); err != nil || got != want || len(b.saves) != needed {
				t.Errorf("%+v, %v, %d saves; want %+v", got, err, len(b.saves), want)
			}
			wantAll(t, b, c.by, n+1)
			clear(b.saves)
			if got, err := crypto.Rewrap(t.Context(), lister{b}, c.by, o); err != nil || got != (crypto.RewrapReport{Current: n + 1}) || len(b.saves) > 0 {
				t.Errorf("a second time: %+v, %v, %d saves", got, err, len(b.saves))
			}
		})
	}
}

func TestRewrapOfNamedRecordsLeavesTheOthers(t *testing.T) {
	b := newTable()
	fill(t, b, ring(t, fixed), 3)
	o := crypto.RewrapOptions{Keys: []string{"user-1", "user-1", "user-9"}}
	got, err := crypto.Rewrap(t.Context(), b, ring(t, other, fixed), o) // which lists nothing
	if want := (crypto.RewrapReport{Rewrapped: 1, Gone: 1}); err != nil || got != want || b.saves["user-1"] != 1 || len(b.saves) != 1 {
		t.Errorf("%+v, %v, saves %v; want %+v", got, err, b.saves, want)
	}
	if _, err := crypto.Rewrap(t.Context(), b, ring(t, other), crypto.RewrapOptions{}); err == nil || !strings.Contains(err.Error(), "name their keys in RewrapOptions.Keys") {
		t.Errorf("all of a backend that can't list its records: %v", err)
	}
}

func TestRewrapBindsTheNamespaceThatTheStoreBinds(t *testing.T) {
	b := newTable()
	between := ring(t, other, fixed)
	if err := core.NewStore(b, core.WithCryptography(ring(t, fixed)), core.WithNamespace("production")).Update(t.Context(), "ana", addUser(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := crypto.Rewrap(t.Context(), lister{b}, between, crypto.RewrapOptions{}); !errors.Is(err, core.ErrDecrypt) {
		t.Errorf("without the namespace: %v", err)
	}
	if got, err := crypto.Rewrap(t.Context(), lister{b}, between, crypto.RewrapOptions{Namespace: "production"}); err != nil || got.Rewrapped != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	after := core.NewStore(b, core.WithCryptography(ring(t, other)), core.WithNamespace("production"))
	if _, _, err := after.Load(t.Context(), "ana"); err != nil {
		t.Error(err)
	}
}

func TestRewrapGoesOnAfterARecordThatFailsAndLeavesItAlone(t *testing.T) {
	b := newTable()
	fill(t, b, ring(t, fixed), 20)
	b.put(t, "bob", string(b.records["user-1"].Data)) // moved to another's place
	b.put(t, "plain", `{"AccessToken":{}}`)
	for i := range 12 {
		b.put(t, fmt.Sprintf("garbage-%d", i), "garbage")
	}
	clear(b.saves)
	b.onSave = func(key string) error {
		if key == "user-3" {
			return core.ErrTooLarge
		}
		return nil
	}
	failed := map[string]error{}
	got, err := crypto.Rewrap(t.Context(), lister{b}, ring(t, other, fixed), crypto.RewrapOptions{Progress: func(p crypto.RewrapProgress) {
		if p.Outcome == crypto.RewrapFailed {
			failed[p.Key] = p.Err
		}
	}})
	if want := (crypto.RewrapReport{Rewrapped: 19, Failed: 15}); got != want || len(b.saves) != 19 {
		t.Errorf("%+v, %d saves; want %+v", got, len(b.saves), want)
	}
	if !errors.Is(failed["bob"], core.ErrDecrypt) || !errors.Is(failed["plain"], core.ErrDecrypt) || !errors.Is(failed["user-3"], core.ErrTooLarge) {
		t.Errorf("failed: %v", failed)
	}
	if err == nil || !strings.Contains(err.Error(), "crypto: rewrap: 5 more errors") || strings.Count(err.Error(), "\n") != 10 {
		t.Errorf("the error is %v", err)
	}
}

func TestRewrapThatEndsInAnOutageGoesOnWhereItWas(t *testing.T) {
	const n = 60
	b := newTable()
	fill(t, b, ring(t, fixed), n)
	by := ring(t, other, fixed)
	down := errors.New("connection refused")
	saves := 0
	b.onSave = func(string) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if saves++; saves > 20 {
			return down
		}
		return nil
	}
	got, err := crypto.Rewrap(t.Context(), lister{b}, by, crypto.RewrapOptions{})
	if !errors.Is(err, down) || got.Rewrapped != 20 || got.Left != n-20 || got.Failed != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	b.onSave = nil
	got, err = crypto.Rewrap(t.Context(), lister{b}, by, crypto.RewrapOptions{})
	if want := (crypto.RewrapReport{Rewrapped: n - 20, Current: 20}); err != nil || got != want {
		t.Errorf("again: %+v, %v; want %+v", got, err, want)
	}
	wantAll(t, b, by, n)
	for key, times := range b.saves {
		if times != 1 {
			t.Errorf("%s was saved %d times", key, times)
		}
	}
}

func TestRewrapEndsWithItsContext(t *testing.T) {
	const n = 100
	b := newTable()
	fill(t, b, ring(t, fixed), n)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	got, err := crypto.Rewrap(ctx, lister{b}, ring(t, other, fixed), crypto.RewrapOptions{Concurrency: 2, Progress: func(p crypto.RewrapProgress) {
		if p.Done == 10 {
			cancel(enough)
		}
	}})
	if !errors.Is(err, enough) || got.Left == 0 || got.Left+got.Rewrapped != n || got.Rewrapped != len(b.saves) {
		t.Errorf("%+v, %v, %d saves", got, err, len(b.saves))
	}
}

func TestRewrapOverwritesNothingThatWasSavedMeanwhile(t *testing.T) {
	b := newTable()
	fill(t, b, ring(t, fixed), 1)
	by := ring(t, other, fixed)
	times := 0
	b.onLoad = func(key string) { // a program with the old key saves right after each of the first loads
		if times++; times > 3 {
			return
		}
		data, err := ring(t, fixed).Encrypt(t.Context(), fmt.Appendf(nil, `{"AccessToken":{},"saved":%d}`, times), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		b.put(t, key, string(data))
	}
	got, err := crypto.Rewrap(t.Context(), lister{b}, by, crypto.RewrapOptions{})
	if err != nil || got.Rewrapped != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	rec := b.records["user-0"]
	if plaintext, err := by.Decrypt(t.Context(), rec.Data, []byte("user-0")); err != nil || string(plaintext) != `{"AccessToken":{},"saved":3}` || by.NeedsRotation(rec.Data) {
		t.Errorf("%q, %v", plaintext, err)
	}
}

func TestRewrapBringsNothingBackThatWasDeletedMeanwhile(t *testing.T) {
	b := newTable()
	fill(t, b, ring(t, fixed), 1)
	b.onLoad = func(key string) { _ = b.Delete(context.Background(), key) }
	got, err := crypto.Rewrap(t.Context(), lister{b}, ring(t, other, fixed), crypto.RewrapOptions{})
	if err != nil || got.Gone != 1 || len(b.records) != 0 {
		t.Errorf("%+v, %v, %d records", got, err, len(b.records))
	}
}

// forgetful is a manager that loses what it encrypts.
type forgetful struct{ *crypto.Keyring }

func (f forgetful) Encrypt(ctx context.Context, _, place []byte) ([]byte, error) {
	return f.Keyring.Encrypt(ctx, []byte("{}"), place)
}

func TestRewrapSavesNothingThatDoesntDecryptToTheSame(t *testing.T) {
	b := newTable()
	fill(t, b, ring(t, fixed), 5)
	got, err := crypto.Rewrap(t.Context(), lister{b}, forgetful{ring(t, other, fixed)}, crypto.RewrapOptions{})
	if err == nil || got.Failed != 5 || len(b.saves) != 0 {
		t.Errorf("%+v, %v, %d saves", got, err, len(b.saves))
	}
}

// restless is a manager whose primary key is another one after each Encrypt.
type restless struct{ *crypto.Keyring }

func (restless) NeedsRotation([]byte) bool { return true }

func TestRewrapDoesntCallARecordDamagedWhosePrimaryKeyChangedMeanwhile(t *testing.T) {
	b := newTable()
	fill(t, b, ring(t, fixed), 1)
	got, err := crypto.Rewrap(t.Context(), lister{b}, restless{ring(t, other, fixed)}, crypto.RewrapOptions{})
	if err == nil || !strings.Contains(err.Error(), "isn't encrypted with the primary key") || got.Failed != 1 || len(b.saves) != 0 {
		t.Errorf("%+v, %v, %d saves", got, err, len(b.saves))
	}
}

// addUser files the tokens of one more user.
func addUser(n int) func(c *tokencache.Cache) error {
	return func(c *tokencache.Cache) error {
		return c.Put(tokencache.TokenResponse{
			AccessToken: fmt.Sprintf("at-%d", n), RefreshToken: fmt.Sprintf("rt-%d", n), Scope: "User.Read", ExpiresIn: 3599,
			ClientID: "client", Tenant: "common", HomeAccountID: fmt.Sprintf("user-%d.tenant", n), Sent: time.Unix(1_700_000_000, 0), GrantType: "refresh_token",
		})
	}
}

func TestRewrapBesideRunningProgramsLosesNothing(t *testing.T) {
	const records, programs, updates = 20, 3, 60
	b := newTable()
	key := func(i int) string { return fmt.Sprintf("record-%d", i%records) }
	before := core.NewStore(b, core.WithCryptography(fernetManager(t)))
	for i := range records {
		if err := before.Update(t.Context(), key(i), addUser(1_000_000)); err != nil {
			t.Fatal(err)
		}
	}
	// Programs that know the keyring as the manager to come, and still encrypt with
	// Fernet's, and one that encrypts with the keyring already.
	still, already := transition(t, fernetManager(t), ring(t, other)), transition(t, ring(t, other), fernetManager(t))
	var running sync.WaitGroup
	for p := range programs {
		running.Go(func() {
			var m core.CryptographyManager = still
			if p == 0 {
				m = already
			}
			store := core.NewStore(b, core.WithCryptography(m))
			for n := range updates {
				if err := store.Update(t.Context(), key(n), addUser(p*updates+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if _, err := crypto.Rewrap(t.Context(), lister{b}, already, crypto.RewrapOptions{}); err != nil {
			t.Error(err)
		}
	}
	running.Wait()
	if _, err := crypto.Rewrap(t.Context(), lister{b}, already, crypto.RewrapOptions{}); err != nil {
		t.Error(err)
	}
	after := core.NewStore(b, core.WithCryptography(ring(t, other)))
	for p := range programs {
		for n := range updates {
			c, _, err := after.Load(t.Context(), key(n))
			if err != nil {
				t.Fatal(err)
			}
			q := tokencache.Query{HomeAccountID: fmt.Sprintf("user-%d.tenant", p*updates+n)}
			if rt, ok := c.RefreshToken(q); !ok || rt.Secret.Reveal() != fmt.Sprintf("rt-%d", p*updates+n) {
				t.Errorf("%s lost what program %d saved in update %d", key(n), p, n)
			}
		}
	}
}

func TestRewrapMovesRecordsToTheNewVersionOfAServicesKey(t *testing.T) {
	s, b := newService("mine"), newTable()
	fill(t, b, dataKeys(t, s, crypto.DataKeyOptions{Uses: 1}), 20)
	s.rotate()
	// A program that began before the rotation, and has not heard of it.
	d := dataKeys(t, s, crypto.DataKeyOptions{})
	report, err := crypto.Rewrap(t.Context(), lister{b}, d, crypto.RewrapOptions{})
	if err != nil || report != (crypto.RewrapReport{Rewrapped: 20}) {
		t.Fatalf("%+v, %v", report, err)
	}
	wantAll(t, b, d, 20)
	if report, err = crypto.Rewrap(t.Context(), lister{b}, d, crypto.RewrapOptions{}); err != nil || report != (crypto.RewrapReport{Current: 20}) {
		t.Errorf("once more: %+v, %v", report, err)
	}
}

func TestRewrapMovesRecordsFromAKeyringToAServiceAndBack(t *testing.T) {
	s, b, k := newService("mine"), newTable(), ring(t, fixed)
	fill(t, b, k, 5)
	d := dataKeys(t, s, crypto.DataKeyOptions{})
	for _, m := range []*crypto.Transition{transition(t, d, k), transition(t, k, d)} {
		if report, err := crypto.Rewrap(t.Context(), lister{b}, m, crypto.RewrapOptions{}); err != nil || report != (crypto.RewrapReport{Rewrapped: 5}) {
			t.Fatalf("%v: %+v, %v", m, report, err)
		}
		wantAll(t, b, m, 5)
	}
}

func TestRewrapWithoutItsServiceTouchesNothing(t *testing.T) {
	s, b := newService("mine"), newTable()
	fill(t, b, dataKeys(t, s, crypto.DataKeyOptions{}), 5)
	s.set(errDown, false)
	report, err := crypto.Rewrap(t.Context(), lister{b}, transition(t, dataKeys(t, s, crypto.DataKeyOptions{}), ring(t, fixed)), crypto.RewrapOptions{})
	if !errors.Is(err, errDown) || report != (crypto.RewrapReport{}) || len(b.saves) > 0 {
		t.Errorf("%+v, %v, saves: %v", report, err, b.saves)
	}
}

func TestATransitionTellsWhatEachManagerSaidAndStopsWhereOneCantBeAsked(t *testing.T) {
	m := transition(t, ring(t, other), fernetManager(t))
	_, err := m.Decrypt(t.Context(), []byte("garbage"), nil)
	if !errors.Is(err, core.ErrDecrypt) || !strings.Contains(err.Error(), "it has no form of an encrypted record; by a former manager: ") {
		t.Error(err)
	}
	down := errors.New("the key service is down")
	m = transition(t, ring(t, other), unreachable{down}, fernetManager(t))
	stored, err := fernetManager(t).Encrypt(t.Context(), []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Decrypt(t.Context(), stored, nil); !errors.Is(err, down) || errors.Is(err, core.ErrDecrypt) {
		t.Error(err)
	}
	for _, former := range [][]core.CryptographyManager{{nil}, {ring(t, fixed), nil}} {
		if _, err := crypto.NewTransition(ring(t, other), former...); err == nil {
			t.Errorf("NewTransition with %v", former)
		}
	}
	if _, err := crypto.NewTransition(nil); err == nil {
		t.Error("NewTransition of nil")
	}
}

type unreachable struct{ err error }

func (u unreachable) Encrypt(context.Context, []byte, []byte) ([]byte, error) { return nil, u.err }
func (u unreachable) Decrypt(context.Context, []byte, []byte) ([]byte, error) { return nil, u.err }

func TestOutcomesHaveNames(t *testing.T) {
	for o, want := range map[crypto.RewrapOutcome]string{
		crypto.Rewrapped: "rewrapped", crypto.AlreadyCurrent: "already current", crypto.RewrapGone: "gone", crypto.RewrapFailed: "failed", 0: "RewrapOutcome(0)",
	} {
		if o.String() != want {
			t.Errorf("%d is %q, want %q", uint8(o), o, want)
		}
	}
}

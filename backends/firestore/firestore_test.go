package firestore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gcp "cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

// collection is a name of the test's own, also when it runs again.
func collection(t testing.TB) string {
	name, _ := collections.LoadOrStore(t, "tokens-"+rand.Text())
	return name.(string)
}

var collections sync.Map // by test

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	client := firestoretest.Double(t).Client(t, "")
	for name, c := range map[string]struct {
		client     *gcp.Client
		collection string
		options    firestore.Options
	}{
		"no client":                 {nil, "tokens", firestore.Options{}},
		"no collection":             {client, "", firestore.Options{}},
		"a document":                {client, "tokens/ana", firestore.Options{}},
		"an empty part of a path":   {client, "apps//tokens", firestore.Options{}},
		"a field of a map":          {client, "tokens", firestore.Options{Field: "a.b"}},
		"a reserved field":          {client, "tokens", firestore.Options{Field: "__token__"}},
		"another field's revision":  {client, "tokens", firestore.Options{Field: "token_revision"}},
		"a long field":              {client, "tokens", firestore.Options{Field: strings.Repeat("f", 101)}},
		"a prefix with a slash":     {client, "tokens", firestore.Options{Prefix: "a/"}},
		"a prefix with NUL":         {client, "tokens", firestore.Options{Prefix: "a\x00"}},
		"a prefix that isn't UTF-8": {client, "tokens", firestore.Options{Prefix: "\xff"}},
		"a reserved prefix":         {client, "tokens", firestore.Options{Prefix: "__a__"}},
		"a prefix of a dot":         {client, "tokens", firestore.Options{Prefix: "."}},
		"a long prefix":             {client, "tokens", firestore.Options{Prefix: strings.Repeat("p", 1001)}},
	} {
		if b, err := firestore.New(c.client, c.collection, c.options); err == nil || b != nil {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	for _, o := range []firestore.Options{{}, {Prefix: "__"}, {Prefix: ".a"}, {Prefix: strings.Repeat("p", 1000)}, {Field: "_a1"}, {DeleteDocuments: true}} {
		if _, err := firestore.New(client, "apps/crm/tokens", o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A prefix and a key together can make an ID that Firestore reserves.
func TestEveryPrefixAndKeyMakeAnID(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		for i, prefix := range []string{"", "__", "__a", strings.Repeat("p", 1000)} {
			b, err := firestore.New(s.Client(t, ""), fmt.Sprintf("%s-%d", collection(t), i), firestore.Options{Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			keys := []string{".", "..", "_", "__", "__a__", "___", "____", "a__", "_a__", "/", strings.Repeat("é", 75)}
			for _, key := range keys {
				save(t, b, key, key, core.Absent)
			}
			listed := keysOf(t, b)
			for _, key := range keys {
				if rec, err := b.Load(t.Context(), key); err != nil || string(rec.Data) != key {
					t.Errorf("prefix %.4q: Load(%.10q) = %.10q, %v", prefix, key, rec.Data, err)
				}
				if !slices.Contains(listed, key) {
					t.Errorf("prefix %.4q: Keys has no %.10q", prefix, key)
				}
			}
		}
	})
}

func keysOf(t testing.TB, b core.Lister) []string {
	t.Helper()
	var keys []string
	for key, err := range b.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestOtherFieldsAreLeftAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, _ := open(t, s, firestore.Options{})
		ana := documents.Doc("ana")
		if _, err := ana.Set(t.Context(), map[string]any{"name": "Ana", "age": 30}); err != nil {
			t.Fatal(err)
		}
		want := func(after string, token any) {
			t.Helper()
			found, err := ana.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			data := found.Data()
			if data["token"] != token {
				t.Errorf("after %s token is %v", after, data["token"])
			}
			maps.DeleteFunc(data, func(field string, _ any) bool { return strings.HasPrefix(field, "token") })
			if fmt.Sprint(data) != "map[age:30 name:Ana]" {
				t.Errorf("after %s the other fields are %v", after, data)
			}
		}
		wantNone := func() {
			t.Helper()
			if _, err := b.Load(t.Context(), "ana"); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("Load of a document without a token = %v", err)
			}
			if ok, err := b.Check(t.Context(), "ana"); ok || err != nil {
				t.Errorf("Check of a document without a token = %v, %v", ok, err)
			}
			if keys := keysOf(t, b); len(keys) != 0 {
				t.Errorf("Keys = %q", keys)
			}
		}
		wantNone()
		v := save(t, b, "ana", "1", core.Absent)
		want("a Save with Absent", "1")
		v = save(t, b, "ana", "2", v)
		want("a Save with a version", "2")
		save(t, b, "ana", "3", core.AnyVersion)
		want("a Save with AnyVersion", "3")
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("4"), Version: v}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("a stale Save = %v", err)
		}
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("4"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("a Save with Absent over a record = %v", err)
		}
		for range 2 {
			if err := b.Delete(t.Context(), "ana"); err != nil {
				t.Fatal(err)
			}
			want("a Delete", nil)
			wantNone()
		}
		save(t, b, "ana", "5", core.Absent)
		want("a Save with Absent after a Delete", "5")
	})
}

func TestSaveWithAbsentBesideAWriterOfOtherFields(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, w := open(t, s, firestore.Options{})
		ana := documents.Doc("ana")
		// Each time the document has been looked at, somebody else changes it.
		steps := []func() error{
			func() error { _, err := ana.Set(t.Context(), map[string]any{"name": "Ana"}); return err },
			func() error { _, err := ana.Set(t.Context(), map[string]any{"name": "Ana Lee"}); return err },
			func() error { _, err := ana.Delete(t.Context()); return err },
			func() error { _, err := ana.Set(t.Context(), map[string]any{"name": "Bo"}); return err },
		}
		w.inject(faults{before: func(method string) error {
			if method == "Commit" && len(steps) > 0 {
				step := steps[0]
				steps = steps[1:]
				return step()
			}
			return nil
		}})
		v := save(t, b, "ana", "1", core.Absent)
		if len(steps) > 0 {
			t.Errorf("%d of the changes didn't happen", len(steps))
		}
		wantRecord(t, b, "ana", "1", v)
		if found, err := ana.Get(t.Context()); err != nil || found.Data()["name"] != "Bo" {
			t.Errorf("the document is %v, %v", found.Data(), err)
		}
		if err := b.Delete(t.Context(), "ana"); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, func() error {
			_, err := ana.Update(t.Context(), []gcp.Update{{Path: "token", Value: "another's"}})
			return err
		})
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save with Absent beside another's = %v", err)
		}
	})
}

func TestFieldsOfOneDocumentAreApart(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		mail, _, _ := open(t, s, firestore.Options{Field: "mail"})
		files, _, _ := open(t, s, firestore.Options{Field: "files"})
		save(t, mail, "ana", "1", core.Absent)
		save(t, files, "ana", "2", core.Absent)
		for b, want := range map[*firestore.Backend]string{mail: "1", files: "2"} {
			if rec, err := b.Load(t.Context(), "ana"); err != nil || string(rec.Data) != want {
				t.Errorf("Load = %q, %v; want %q", rec.Data, err, want)
			}
			if _, err := b.Acquire(t.Context(), "ana", time.Hour); err != nil {
				t.Errorf("the lease of %q: %v", want, err)
			}
		}
		if err := mail.Delete(t.Context(), "ana"); err != nil {
			t.Fatal(err)
		}
		if ok, err := files.Check(t.Context(), "ana"); !ok || err != nil {
			t.Errorf("Check of the other field = %v, %v", ok, err)
		}
		if keys := keysOf(t, mail); len(keys) != 0 {
			t.Errorf("Keys = %q", keys)
		}
	})
}

func TestWholeDocumentsAreDeletedWhenAsked(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, _ := open(t, s, firestore.Options{DeleteDocuments: true})
		save(t, b, "ana", "1", core.Absent)
		if err := b.Delete(t.Context(), "ana"); err != nil {
			t.Fatal(err)
		}
		if _, err := documents.Doc("ana").Get(t.Context()); status.Code(err) != codes.NotFound {
			t.Errorf("the document is there: %v", err)
		}
	})
}

func TestAFieldIsARecordOrAnErrorThatSaysWhyNot(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, _ := open(t, s, firestore.Options{})
		for _, c := range []struct {
			value any
			data  string
			err   error
		}{
			{"{}", "{}", nil},
			{[]byte("{}"), "{}", nil},
			{nil, "", core.ErrNotFound},
			{"", "", core.ErrCorrupt},
			{[]byte{}, "", core.ErrCorrupt},
			{42, "", core.ErrCorrupt},
			{map[string]any{"AccessToken": map[string]any{}}, "", core.ErrCorrupt},
			{documents.Doc("bo"), "", core.ErrCorrupt},
		} {
			if _, err := documents.Doc("ana").Set(t.Context(), map[string]any{"token": c.value}); err != nil {
				t.Fatal(err)
			}
			rec, err := b.Load(t.Context(), "ana")
			if string(rec.Data) != c.data || !errors.Is(err, c.err) {
				t.Errorf("Load of %T %v = %q, %v; want %v", c.value, c.value, rec.Data, err, c.err)
			}
			if ok, err := b.Check(t.Context(), "ana"); ok != (c.err != core.ErrNotFound) || err != nil {
				t.Errorf("Check of %T %v = %v, %v", c.value, c.value, ok, err)
			}
		}
		// Text is stored as text, which others read; bytes that are none as bytes.
		for _, data := range []string{`{"é": "\u0000"}`, "\xff\x00"} {
			save(t, b, "ana", data, core.AnyVersion)
			found, err := documents.Doc("ana").Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, text := found.Data()["token"].(string)
			if text != (data[0] == '{') {
				t.Errorf("%q is stored as %T", data, found.Data()["token"])
			}
		}
	})
}

func TestTheSameDataAreAnotherVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, _ := open(t, s, firestore.Options{})
		v := save(t, b, "ana", "1", core.Absent)
		next := save(t, b, "ana", "1", v)
		if next == v {
			t.Errorf("two saves have the version %q", v)
		}
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: v}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save with the version before = %v", err)
		}
		// As python-o365 writes, with the same token even.
		if _, err := documents.Doc("ana").Set(t.Context(), map[string]any{"token": "1"}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: next}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save over what another program wrote = %v", err)
		}
	})
}

func TestOtherFieldsCountForTheSize(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, _ := open(t, s, firestore.Options{})
		if _, err := documents.Doc("ana").Set(t.Context(), map[string]any{"photo": make([]byte, 1<<19)}); err != nil {
			t.Fatal(err)
		}
		_, err := b.Save(t.Context(), "ana", core.Record{Data: make([]byte, 1<<19), Version: core.AnyVersion})
		if !errors.Is(err, core.ErrTooLarge) || status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "524288") {
			t.Errorf("Save = %v", err)
		}
	})
}

func TestModifiedIsTheServersClock(t *testing.T) {
	server := firestoretest.Double(t)
	server.Advance(-24 * time.Hour)
	b, _, _ := open(t, server, firestore.Options{})
	save(t, b, "ana", "1", core.Absent)
	rec, err := b.Load(t.Context(), "ana")
	if ago := time.Since(rec.Modified); err != nil || ago < 23*time.Hour || ago > 25*time.Hour {
		t.Errorf("Modified = %v, %v", rec.Modified, err)
	}
}

func TestNamedDatabasesAreApart(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		for _, database := range []string{"", "eu", "us"} {
			b, err := firestore.New(s.Client(t, database), collection(t), firestore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			v := save(t, b, "ana", "of "+database, core.Absent)
			if _, err := b.Acquire(t.Context(), "ana", time.Hour); err != nil {
				t.Errorf("the lease in %q: %v", database, err)
			}
			save(t, b, "ana", "2 of "+database, v)
			if keys := keysOf(t, b); !slices.Equal(keys, []string{"ana"}) {
				t.Errorf("Keys in %q = %q", database, keys)
			}
			if err := b.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestKeysComeByTheHundred(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, documents, w := open(t, s, firestore.Options{Prefix: "p."})
		var want []string
		for i := range 201 {
			key := fmt.Sprintf("user-%03d", i)
			want = append(want, key)
			save(t, b, key, "1", core.AnyVersion)
		}
		for _, id := range []string{"o.user-1", "p.a/b/c", "p.%4a", "p.no-token", "q.user-1"} { // strangers
			if doc := documents.Doc(id); doc != nil {
				if _, err := doc.Set(t.Context(), map[string]any{"name": "x"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.take()
		if keys := keysOf(t, b); !slices.Equal(keys, want) {
			t.Errorf("Keys = %d, %q…", len(keys), keys[:min(3, len(keys))])
		}
		if calls := w.take(); !slices.Equal(calls, []string{"RunQuery", "RunQuery", "RunQuery"}) {
			t.Errorf("Keys calls %q", calls)
		}
	})
}

func TestEachOperationMakesTheCallsThatTheReadmeLists(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		ctx := t.Context()
		var v core.Version
		var lease core.Lease
		put := func(known core.Version, data string) (err error) {
			next, err := b.Save(ctx, "ana", core.Record{Data: []byte(data), Version: known})
			if err == nil {
				v = next
			}
			return err
		}
		for _, c := range []struct {
			what  string
			do    func() error
			want  error
			calls []string
		}{
			{"Save with Absent", func() error { return put(core.Absent, "1") }, nil, []string{"Commit"}},
			{"Save with a version", func() error { return put(v, "2") }, nil, []string{"Commit"}},
			{"Save with AnyVersion", func() error { return put(core.AnyVersion, "3") }, nil, []string{"Commit"}},
			{"Save in vain", func() error { return put(core.Absent, "4") }, core.ErrConflict, []string{"Commit", "BatchGetDocuments"}},
			{"Save with a version nobody made up", func() error { return put("1", "4") }, core.ErrConflict, nil},
			{"Load", func() error { _, err := b.Load(ctx, "ana"); return err }, nil, []string{"BatchGetDocuments"}},
			{"Load of nothing", func() error { _, err := b.Load(ctx, "bo"); return err }, core.ErrNotFound, []string{"BatchGetDocuments"}},
			{"Check", func() error { _, err := b.Check(ctx, "ana"); return err }, nil, []string{"BatchGetDocuments"}},
			{"Acquire", func() (err error) { lease, err = b.Acquire(ctx, "ana", time.Hour); return err }, nil, []string{"Commit"}},
			{"Acquire in vain", func() error { _, err := b.Acquire(ctx, "ana", time.Hour); return err }, core.ErrLeaseHeld, []string{"Commit", "BatchGetDocuments"}},
			{"Renew", func() error { return lease.Renew(ctx, time.Hour) }, nil, []string{"BatchGetDocuments", "Commit"}},
			{"Release", func() error { return lease.Release(ctx) }, nil, []string{"BatchGetDocuments", "Commit"}},
			{"Acquire for a microsecond", func() error { _, err := b.Acquire(ctx, "cy", time.Microsecond); return err }, nil, []string{"Commit"}},
			{"Acquire what has expired", func() error { _, err := b.Acquire(ctx, "cy", time.Hour); return err }, nil, []string{"Commit", "BatchGetDocuments", "Commit"}},
			{"Delete", func() error { return b.Delete(ctx, "ana") }, nil, []string{"Commit"}},
			{"Delete of what is deleted", func() error { return b.Delete(ctx, "ana") }, nil, []string{"Commit"}},
			{"Delete of what never was", func() error { return b.Delete(ctx, "bo") }, nil, []string{"Commit", "BatchGetDocuments"}},
			{"Save with Absent after Delete", func() error { return put(core.Absent, "5") }, nil, []string{"Commit", "BatchGetDocuments", "Commit"}},
			{"a refresh", func() error {
				_, err := b.ShouldRefresh(ctx, "ana", core.RefreshRequest{Seen: v, Refresh: refresh(b, "ana", "6")})
				return err
			}, nil, []string{"Commit", "BatchGetDocuments", "Commit", "BatchGetDocuments", "Commit"}},
			{"Ping", func() error { return b.Ping(ctx) }, nil, []string{"Commit", "BatchGetDocuments", "Commit"}},
		} {
			w.take()
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.what, err, c.want)
			}
			if calls := w.take(); !slices.Equal(calls, c.calls) {
				t.Errorf("%s calls %q, want %q", c.what, calls, c.calls)
			}
		}
	})
}

func TestMoreKeysAreWaitedForThanAreListenedTo(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		holder, _, _ := open(t, s, firestore.Options{})
		const keys, each = 40, 2
		name := func(i int) string { return fmt.Sprint("user-", i) }
		var versions [keys]core.Version
		for i := range keys {
			versions[i] = save(t, holder, name(i), "1", core.Absent)
			if _, err := holder.Acquire(t.Context(), name(i), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		var waiters sync.WaitGroup
		for i := range keys * each {
			waiters.Go(func() {
				if err := b.Wait(t.Context(), name(i%keys), versions[i%keys]); err != nil {
					t.Error(err)
				}
			})
		}
		testkit.Until(t, "each waiter looks", func() bool { return w.count("BatchGetDocuments") >= keys*each })
		if n := w.count("Listen"); n != 32 {
			t.Errorf("%d listeners for %d keys, want 32", n, keys)
		}
		for i := range keys {
			save(t, holder, name(i), "2", versions[i])
		}
		waiters.Wait()
		testkit.Until(t, "no listener is left once all waiters are back", func() bool { return w.listeners() == 0 })
	})
}

func TestAWaiterIsWokenByAListener(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		for what, do := range map[string]func(core.Version, core.Lease) error{
			"a save": func(v core.Version, _ core.Lease) error {
				_, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: v})
				return err
			},
			"a release": func(_ core.Version, held core.Lease) error { return held.Release(t.Context()) },
		} {
			// Without a listener each would take a second. A machine may be held
			// up, but not every time.
			quickest := time.Hour
			for range 5 {
				v := save(t, b, "ana", "1", core.AnyVersion)
				held, err := b.Acquire(t.Context(), "ana", time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				w.take()
				woken := make(chan error, 1)
				go func() { woken <- b.Wait(t.Context(), "ana", v) }()
				w.untilWaiting(t)
				begun := time.Now()
				if err := do(v, held); err != nil {
					t.Fatal(err)
				}
				if err := <-woken; err != nil {
					t.Errorf("after %s: %v", what, err)
				}
				quickest = min(quickest, time.Since(begun))
				_ = held.Release(t.Context())
			}
			if quickest > 500*time.Millisecond {
				t.Errorf("after %s a waiter returns in %v at best", what, quickest)
			}
		}
	})
}

// Neither the end of a lease nor what changed before a waiter joined the others
// is told by a listener; Wait would look after a second, or half of one.
func TestAWaiterLooksWhenItJoinsAndWhenTheLeaseEnds(t *testing.T) {
	b, _, w := open(t, firestoretest.Double(t), firestore.Options{})
	v := save(t, b, "ana", "1", core.Absent)
	soonest := func(do func() error) time.Duration { // a machine may be held up, but not every time
		least := time.Hour
		for range 5 {
			begun := time.Now()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(begun))
		}
		return least
	}
	const ttl = 200 * time.Millisecond
	if took := soonest(func() error {
		if _, err := b.Acquire(t.Context(), "ana", ttl); err != nil {
			return err
		}
		return b.Wait(t.Context(), "ana", v)
	}); took < ttl || took > ttl+300*time.Millisecond {
		t.Errorf("a lease of %v is waited for in %v", ttl, took)
	}

	held, err := b.Acquire(t.Context(), "ana", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.take()
	first := make(chan error, 1)
	go func() { first <- b.Wait(t.Context(), "ana", v) }()
	w.untilWaiting(t)
	if took := soonest(func() error { return b.Wait(t.Context(), "ana", "another") }); took > 300*time.Millisecond {
		t.Errorf("who joins learns in %v what others know", took)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// refresh is a RefreshRequest's: it saves data over the current record.
func refresh(b core.TokenBackend, key, data string) func(context.Context, core.Record) error {
	return func(ctx context.Context, current core.Record) error {
		_, err := b.Save(ctx, key, core.Record{Data: []byte(data), Version: current.Version})
		return err
	}
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(client *gcp.Client, collection string, o firestore.Options) any {
		b, err := firestore.New(client, collection, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	double := firestoretest.Double(t)
	client := double.Client(t, "")
	if first, second := at(client, "a", firestore.Options{}), at(client, "a", firestore.Options{Field: firestore.DefaultField}); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix":     at(client, "a", firestore.Options{Prefix: "p"}),
		"another field":      at(client, "a", firestore.Options{Field: "f"}),
		"another collection": at(client, "b", firestore.Options{}),
		"another client":     at(double.Client(t, ""), "a", firestore.Options{}),
	} {
		if other == at(client, "a", firestore.Options{}) {
			t.Errorf("%s: one place", name)
		}
	}
}

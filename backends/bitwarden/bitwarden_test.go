package bitwarden_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// open returns a backend for an account of its own login.
func open(t *testing.T, s *bitwardentest.Server, token string, o bitwarden.Options) *bitwarden.Backend {
	t.Helper()
	secrets, err := bitwarden.Login(t.Context(), token, inProcess(s))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bitwarden.New(secrets, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openFirst(t *testing.T, s *bitwardentest.Server) *bitwarden.Backend {
	t.Helper()
	return open(t, s, s.AccessToken(), bitwarden.Options{ProjectID: s.Project()})
}

func mustSave(t *testing.T, b core.TokenBackend, key, data string, over core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: over})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustLoad(t *testing.T, b core.TokenBackend, key, want string) core.Version {
	t.Helper()
	rec, err := b.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if string(rec.Data) != want {
		t.Fatalf("Load(%q) = %s, want %s", key, rec.Data, want)
	}
	return rec.Version
}

func TestEachOperationMakesTheFewestRequests(t *testing.T) {
	const (
		list, get, create, update, remove = bitwardentest.List, bitwardentest.Get, bitwardentest.Create, bitwardentest.Update, bitwardentest.Delete
	)
	s := bitwardentest.New(bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "o365", Value: "{}"})
	s.Add(bitwardentest.Secret{Key: "ana", Value: "{}"})
	s.Add(bitwardentest.Secret{Key: "bo", Value: "{}"})
	s.Add(bitwardentest.Secret{Key: "di", Value: "{}"})
	b := openFirst(t, s)
	wantLogins(t, s, 1)
	var v core.Version
	save := func(key string, over core.Version) func() {
		return func() { v = mustSave(t, b, key, `{"AccessToken":{}}`, over) }
	}
	load := func(key string) func() {
		return func() { _, _ = b.Load(t.Context(), key) }
	}
	for _, c := range []struct {
		what string
		do   func()
		want bitwardentest.Counts
	}{
		{"Load of an id", load(id), bitwardentest.Counts{get: 1}},
		{"Save to an id", save(id, core.AnyVersion), bitwardentest.Counts{update: 1}},
		{"the first Load of a name", load("ana"), bitwardentest.Counts{list: 1, get: 1}},
		{"the next", load("ana"), bitwardentest.Counts{get: 1}},
		{"Load of another name", load("bo"), bitwardentest.Counts{get: 1}},
		{"Save of a name that was only listed", save("di", core.AnyVersion), bitwardentest.Counts{get: 1, update: 1}},
		{"Save", save("ana", core.AnyVersion), bitwardentest.Counts{update: 1}},
		{"Save with a version", func() { save("ana", v)() }, bitwardentest.Counts{get: 1, update: 1}},
		{"Check", func() { _, _ = b.Check(t.Context(), "ana") }, bitwardentest.Counts{get: 1}},
		{"Load of what isn't there", load("cy"), bitwardentest.Counts{list: 1}},
		{"Save of a new name", save("cy", core.Absent), bitwardentest.Counts{list: 2, create: 1}},
		{"the next Load", load("cy"), bitwardentest.Counts{get: 1}},
		{"the next Save", save("cy", core.AnyVersion), bitwardentest.Counts{update: 1}},
		{"Delete", func() { _ = b.Delete(t.Context(), "cy") }, bitwardentest.Counts{get: 1, remove: 1}},
		{"Keys", func() { wantKeys(t, b, "ana", "bo", "di", "o365") }, bitwardentest.Counts{list: 1}},
		{"Save after that", save("ana", core.AnyVersion), bitwardentest.Counts{update: 1}},
		{"Ping", func() { _ = b.Ping(t.Context()) }, bitwardentest.Counts{list: 1}},
	} {
		s.ResetCounts()
		c.do()
		if got := s.Counts(); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s took %v, want %v", c.what, got, c.want)
		}
	}
}

func keys(t *testing.T, b *bitwarden.Backend) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key, err := range b.Keys(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if !yield(key) {
				return
			}
		}
	}
}

func wantKeys(t *testing.T, b *bitwarden.Backend, want ...string) {
	t.Helper()
	if got := slices.Sorted(keys(t, b)); !slices.Equal(got, want) {
		t.Errorf("Keys = %q, want %q", got, want)
	}
}

// python-o365 is given the id of a secret that somebody made by hand.
func TestAnIdIsAKey(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	// The project doesn't matter, nor do the names.
	elsewhere := s.NewProject("elsewhere")
	id := s.Add(bitwardentest.Secret{Key: "O365 token", Value: `{"AccessToken":{}}`, Note: "by hand", Project: elsewhere})
	for _, o := range []bitwarden.Options{{}, {ProjectID: s.Project(), Prefix: "tokens/"}} {
		b := open(t, s, s.AccessToken(), o)
		v := mustLoad(t, b, id, `{"AccessToken":{}}`)
		v = mustSave(t, b, id, `{"RefreshToken":{}}`, v)
		mustSave(t, b, id, `{"AccessToken":{}}`, core.AnyVersion)
		if _, err := b.Save(t.Context(), id, core.Record{Data: []byte("{}"), Version: v}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("a stale Save = %v", err)
		}
		if _, err := b.Save(t.Context(), id, core.Record{Data: []byte("{}"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save with Absent = %v", err)
		}
		wantKeys(t, b)
	}
	stored := s.Secrets()
	if len(stored) != 1 || stored[0].Key != "O365 token" || stored[0].Note != "by hand" || stored[0].Project != elsewhere {
		t.Errorf("stored is %+v", stored)
	}

	b := openFirst(t, s)
	// One id has one spelling: the other is a name like any.
	if _, err := b.Load(t.Context(), strings.ToUpper(id)); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load of the id in upper case = %v", err)
	}
	if err := b.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if ok, err := b.Check(t.Context(), id); ok || err != nil {
		t.Errorf("Check = %v, %v", ok, err)
	}
	for _, over := range []core.Version{core.AnyVersion, core.Absent} {
		if _, err := b.Save(t.Context(), id, core.Record{Data: []byte("{}"), Version: over}); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("Save to an id that isn't there = %v, want core.ErrNotFound", err)
		}
	}
	if len(s.Secrets()) != 0 {
		t.Errorf("stored is %+v", s.Secrets())
	}
}

func TestANameIsOneOfItsProject(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	elsewhere := s.NewProject("elsewhere")
	theirs := s.Add(bitwardentest.Secret{Key: "tokens/ana%40contoso.com", Value: `"theirs"`, Project: elsewhere})
	for _, foreign := range []string{"tokens/", "tokens/ana@contoso.com", "tokens/%4A", "ana", "Tokens/ana", "tokens", theirs, "tokens/" + theirs} {
		s.Add(bitwardentest.Secret{Key: foreign, Value: `"foreign"`})
	}
	b := open(t, s, s.AccessToken(), bitwarden.Options{ProjectID: strings.ToUpper(s.Project()), Prefix: "tokens/"})
	if ok, err := b.Check(t.Context(), "ana@contoso.com"); ok || err != nil {
		t.Errorf("Check = %v, %v; it is in another project", ok, err)
	}
	v := mustSave(t, b, "ana@contoso.com", `"mine"`, core.Absent)
	if loaded := mustLoad(t, b, "ana@contoso.com", `"mine"`); loaded != v {
		t.Errorf("Save answered version %s, Load %s", v, loaded)
	}
	wantKeys(t, b, "ana@contoso.com")
	all := s.Secrets()
	if last := all[len(all)-1]; last.Key != "tokens/ana%40contoso.com" || last.Project != s.Project() {
		t.Errorf("stored is %+v", last)
	}

	// Without a project they are all looked at, and none is made.
	anywhere := open(t, s, s.AccessToken(), bitwarden.Options{Prefix: "tokens/"})
	var duplicate *bitwarden.DuplicateError
	if _, err := anywhere.Load(t.Context(), "ana@contoso.com"); !errors.As(err, &duplicate) {
		t.Errorf("Load of a name in two projects = %v", err)
	}
	if _, err := anywhere.Save(t.Context(), "bo", core.Record{Data: []byte("{}"), Version: core.AnyVersion}); err == nil || !strings.Contains(err.Error(), "ProjectID") {
		t.Errorf("Save of a new name without a project = %v", err)
	}
	if err := b.Delete(t.Context(), "ana@contoso.com"); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, anywhere, "ana@contoso.com", `"theirs"`)
}

func TestTwoSecretsOfOneNameAreAnError(t *testing.T) {
	synctest.Test(t, twoSecretsOfOneNameAreAnError)
}

func twoSecretsOfOneNameAreAnError(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	first, second := s.Add(bitwardentest.Secret{Key: "ana", Value: `"1"`}), s.Add(bitwardentest.Secret{Key: "ana", Value: `"2"`})
	b := openFirst(t, s)
	_, load := b.Load(t.Context(), "ana")
	_, check := b.Check(t.Context(), "ana")
	_, save := b.Save(t.Context(), "ana", core.Record{Data: []byte("{}"), Version: core.AnyVersion})
	for what, err := range map[string]error{"Load": load, "Check": check, "Save": save, "Delete": b.Delete(t.Context(), "ana")} {
		var duplicate *bitwarden.DuplicateError
		if !errors.As(err, &duplicate) || !slices.Contains(duplicate.IDs, first) || !slices.Contains(duplicate.IDs, second) ||
			!strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), second) || errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s = %v, want both ids", what, err)
		}
	}
	wantKeys(t, b, "ana")
	mustLoad(t, b, second, `"2"`)
	if err := b.Delete(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, b, "ana", `"1"`)
}

// The secret that a backend remembers for a name may be made anew, renamed or moved by
// another program.
func TestANameThatBelongsToAnotherSecretIsLookedUpAgain(t *testing.T) {
	for what, change := range map[string]func(t *testing.T, s *bitwardentest.Server, secrets bitwarden.Secrets, was bitwarden.Secret){
		"deleted and created": func(t *testing.T, s *bitwardentest.Server, secrets bitwarden.Secrets, was bitwarden.Secret) {
			if err := secrets.Delete(t.Context(), was.ID); err != nil {
				t.Fatal(err)
			}
		},
		"renamed": func(t *testing.T, s *bitwardentest.Server, secrets bitwarden.Secrets, was bitwarden.Secret) {
			was.Key = "ana, as it was"
			if _, err := secrets.Update(t.Context(), was); err != nil {
				t.Fatal(err)
			}
		},
		"moved": func(t *testing.T, s *bitwardentest.Server, secrets bitwarden.Secrets, was bitwarden.Secret) {
			was.ProjectID = s.NewProject("archive")
			if _, err := secrets.Update(t.Context(), was); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := bitwardentest.New(bitwardentest.Options{})
			b := openFirst(t, s)
			secrets := logIn(t, s, inProcess(s))
			prepare := func() (was bitwarden.Secret, v core.Version) {
				v = mustSave(t, b, "ana", `"old"`, core.AnyVersion)
				ids, err := secrets.List(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(ids, func(id bitwarden.Identifier) bool { return id.Key == "ana" && id.ProjectID == s.Project() })
				if was, err = secrets.Get(t.Context(), ids[i].ID); err != nil {
					t.Fatal(err)
				}
				change(t, s, secrets, was)
				return was, v
			}

			was, stale := prepare()
			if ok, err := b.Check(t.Context(), "ana"); ok || err != nil {
				t.Errorf("Check with nothing in its place = %v, %v", ok, err)
			}
			s.Add(bitwardentest.Secret{Key: "ana", Value: `"new"`})
			mustLoad(t, b, "ana", `"new"`)
			if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("{}"), Version: stale}); !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save over what was there before = %v, want core.ErrConflict", err)
			}
			if err := b.Delete(t.Context(), "ana"); err != nil {
				t.Fatal(err)
			}

			was, _ = prepare()
			if err := b.Delete(t.Context(), "ana"); err != nil {
				t.Fatal(err)
			}
			if what == "deleted and created" {
				return
			}
			if got, err := secrets.Get(t.Context(), was.ID); err != nil || got.Value != `"old"` {
				t.Errorf("what was %s is %+v, %v; Delete must leave it", what, got, err)
			}
		})
	}
}

func TestASecretThatIsDeletedAfterTheListIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		s.Add(bitwardentest.Secret{Key: "ana", Value: `"1"`})
		gone := bitwardentest.Fault{Status: 404}
		s.Inject(bitwardentest.Get, gone)
		mustLoad(t, openFirst(t, s), "ana", `"1"`)
		s.Inject(bitwardentest.Get, gone, gone, gone, gone)
		if _, err := openFirst(t, s).Load(t.Context(), "ana"); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load of what is gone each time = %v", err)
		}
	})
}

func TestASaveToADeletedSecretIsAConflictOrCreatesIt(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b, other := openFirst(t, s), openFirst(t, s)
	v := mustSave(t, b, "ana", `"1"`, core.Absent)
	mustLoad(t, other, "ana", `"1"`)
	if err := b.Delete(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Save(t.Context(), "ana", core.Record{Data: []byte(`"2"`), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save with its version = %v, want core.ErrConflict", err)
	}
	mustLoad(t, openWith(t, other, "ana", `"3"`), "ana", `"3"`)

	// Between the look and the write of one Save.
	for _, over := range []core.Version{mustLoad(t, b, "ana", `"3"`), core.AnyVersion} {
		fresh := openFirst(t, s) // which has to look, whatever the version
		updates, write := s.Counts()[bitwardentest.Update], make(chan struct{})
		s.Inject(bitwardentest.Update, bitwardentest.Fault{Hold: write})
		done := make(chan error, 1)
		go func() {
			_, err := fresh.Save(t.Context(), "ana", core.Record{Data: []byte(`"4"`), Version: over})
			done <- err
		}()
		if err := s.Await(t.Context(), bitwardentest.Update, updates+1); err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), "ana"); err != nil {
			t.Fatal(err)
		}
		close(write)
		if err := <-done; over != core.AnyVersion {
			if !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save with a version, and a Delete in between = %v, want core.ErrConflict", err)
			}
			mustSave(t, b, "ana", `"5"`, core.Absent)
		} else if err != nil {
			t.Errorf("Save with AnyVersion, and a Delete in between = %v", err)
		}
	}
	mustLoad(t, b, "ana", `"4"`)
}

func TestASaveToASecretThatBecameAnotherIsAConflict(t *testing.T) {
	for _, over := range []core.Version{"its version", core.AnyVersion} {
		s := bitwardentest.New(bitwardentest.Options{})
		other, b := openFirst(t, s), openFirst(t, s) // b has to look, whatever the version
		v := mustSave(t, other, "ana", `"1"`, core.Absent)
		if over == core.AnyVersion {
			v = over
		}
		s.OnRequest(func(r bitwardentest.Route) bitwardentest.Fault {
			if r == bitwardentest.Update {
				s.OnRequest(nil)
				if err := other.Delete(t.Context(), "ana"); err != nil {
					t.Error(err)
				}
				mustSave(t, other, "ana", `"2"`, core.Absent)
			}
			return bitwardentest.Fault{}
		})
		_, err := b.Save(t.Context(), "ana", core.Record{Data: []byte(`"3"`), Version: v})
		if over == core.AnyVersion {
			if err != nil {
				t.Errorf("Save with AnyVersion = %v", err)
			}
			mustLoad(t, other, "ana", `"3"`)
			continue
		}
		if !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save with the version of what was deleted and made anew = %v, want core.ErrConflict", err)
		}
		mustLoad(t, other, "ana", `"2"`)
	}
}

// openWith saves and returns b.
func openWith(t *testing.T, b *bitwarden.Backend, key, data string) *bitwarden.Backend {
	mustSave(t, b, key, data, core.AnyVersion)
	return b
}

func TestAnAccountThatMayOnlyReadIsErrReadOnly(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	mustSave(t, openFirst(t, s), "ana", `"1"`, core.Absent)
	b := open(t, s, s.NewAccount(bitwardentest.Account{ReadOnly: true}), bitwarden.Options{ProjectID: s.Project()})
	v := mustLoad(t, b, "ana", `"1"`)
	for _, over := range []core.Version{v, core.AnyVersion} {
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte(`"2"`), Version: over}); !errors.Is(err, core.ErrReadOnly) || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Save = %v, want core.ErrReadOnly", err)
		}
	}
	if err := b.Delete(t.Context(), "ana"); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("Delete = %v, want core.ErrReadOnly", err)
	}
	_, err := b.Save(t.Context(), "bo", core.Record{Data: []byte(`"2"`), Version: core.AnyVersion})
	if status := (*bitwarden.StatusError)(nil); !errors.As(err, &status) || status.StatusCode != 404 || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Save of a new name = %v, want the server's 404, and not absent", err)
	}
	if stored := s.Secrets(); len(stored) != 1 || stored[0].Value != `"1"` {
		t.Errorf("stored is %+v", stored)
	}
}

func TestARecordThatIsTooLargeIsErrTooLarge(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b := openFirst(t, s)
	for what, c := range map[string]struct {
		data  []byte
		error string // empty: it fits
	}{
		"25,000 letters":        {bytes.Repeat([]byte("a"), 25_000), ""},
		"25,001 letters":        {bytes.Repeat([]byte("a"), 25_001), "25001 bytes, the limit is 25000"},
		"12,500 of two bytes":   {bytes.Repeat([]byte("é"), 12_500), ""},
		"12,501 of two bytes":   {bytes.Repeat([]byte("é"), 12_501), "25002 bytes, the limit is 25000"},
		"18,744 bytes of noise": {bytes.Repeat([]byte{0xff}, 18_744), ""},
		"18,745 bytes of noise": {bytes.Repeat([]byte{0xff}, 18_745), "25003 bytes as base64, the limit is 25000"},
	} {
		_, err := b.Save(t.Context(), "ana", core.Record{Data: c.data, Version: core.AnyVersion})
		if c.error != "" {
			if !errors.Is(err, core.ErrTooLarge) || !strings.Contains(err.Error(), c.error) {
				t.Errorf("%s: %v, want core.ErrTooLarge: %s", what, err, c.error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if rec, err := b.Load(t.Context(), "ana"); err != nil || !bytes.Equal(rec.Data, c.data) {
			t.Errorf("%s came back as %d bytes, %v", what, len(rec.Data), err)
		}
	}
}

func TestTextIsStoredAsItIsAndOtherBytesInBase64(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b := openFirst(t, s)
	v := mustSave(t, b, "ana", "{}", core.Absent)
	id := s.Secrets()[0].ID
	for data, value := range map[string]string{
		`{"a":"ü\n"}`: `{"a":"ü\n"}`,
		" \n":         " \n",
		"a\x00":       "base64:YQA=",
		"\xff":        "base64:/w==",
		"base64:":     "base64:YmFzZTY0Og==",
	} {
		v = mustSave(t, b, "ana", data, v)
		if stored := s.Secrets()[0].Value; stored != value {
			t.Errorf("%q is stored as %q, want %q", data, stored, value)
		}
		mustLoad(t, b, "ana", data)
	}
	for _, value := range []string{"", "base64:", "base64:?", "base64:YQ", "base64:YR==", "base64:YQ==x"} {
		s.Set(id, value)
		if _, err := b.Load(t.Context(), "ana"); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("Load of %q = %v, want core.ErrCorrupt", value, err)
		}
	}
}

func TestASaveKeepsTheNoteOfASecret(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b := openFirst(t, s)
	s.Add(bitwardentest.Secret{Key: "ana", Value: `"0"`, Note: "owned by team X"})
	mustSave(t, b, "ana", `"1"`, core.AnyVersion)
	mustSave(t, b, "ana", `"2"`, core.AnyVersion)
	mustSave(t, b, "ana", `"3"`, mustLoad(t, b, "ana", `"2"`))
	if stored := s.Secrets(); len(stored) != 1 || stored[0].Note != "owned by team X" || stored[0].Project != s.Project() || stored[0].Value != `"3"` {
		t.Errorf("stored is %+v", stored)
	}
}

// curt answers an update with its date alone.
type curt struct{ bitwarden.Secrets }

func (c curt) Update(ctx context.Context, s bitwarden.Secret) (bitwarden.Secret, error) {
	updated, err := c.Secrets.Update(ctx, s)
	return bitwarden.Secret{RevisionDate: updated.RevisionDate}, err
}

func TestAClientOfAnotherAuthorIsABackend(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b, err := bitwarden.New(curt{logIn(t, s, inProcess(s))}, bitwarden.Options{ProjectID: s.Project()})
	if err != nil {
		t.Fatal(err)
	}
	v := mustSave(t, b, "ana", `"1"`, core.Absent)
	for i := range 3 {
		data := fmt.Sprintf(`"%d"`, i)
		mustSave(t, b, "ana", data, v)
		v = mustSave(t, b, "ana", data, core.AnyVersion)
		if loaded := mustLoad(t, b, "ana", data); loaded != v {
			t.Errorf("Save answered version %s, Load %s", v, loaded)
		}
	}
}

// noProjects lists secrets as the official SDK does.
type noProjects struct{ bitwarden.Secrets }

func (n noProjects) List(ctx context.Context, organizationID string) ([]bitwarden.Identifier, error) {
	ids, err := n.Secrets.List(ctx, organizationID)
	for i := range ids {
		ids[i].ProjectID = ""
	}
	return ids, err
}

func TestKeysAsksWhatTheListDoesntSay(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	elsewhere := s.NewProject("elsewhere")
	s.Add(bitwardentest.Secret{Key: "ana", Value: "{}"})
	s.Add(bitwardentest.Secret{Key: "ana", Value: "{}", Project: elsewhere})
	s.Add(bitwardentest.Secret{Key: "bo", Value: "{}", Project: elsewhere})
	b, err := bitwarden.New(noProjects{logIn(t, s, inProcess(s))}, bitwarden.Options{ProjectID: s.Project()})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, b, "ana")
	mustSave(t, b, "bo", "{}", core.Absent)
	wantKeys(t, b, "ana", "bo")
	s.Inject(bitwardentest.Get, bitwardentest.Unavailable())
	var last error
	for _, err := range b.Keys(t.Context()) {
		last = err
	}
	if !status(503)(last) {
		t.Errorf("Keys that can't ask ends with %v, want the server's 503", last)
	}
}

func TestABackendPrintsNothingItRemembers(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b := openFirst(t, s)
	s.Add(bitwardentest.Secret{Key: "ana", Value: "hunter2", Note: "hunter2"})
	mustLoad(t, b, "ana", "hunter2")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, value := range []any{b, []any{b}, struct{ B core.TokenBackend }{b}} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "hunter2") || strings.Contains(text, "68756e") {
				t.Errorf("%s of a %T shows %s", verb, value, text)
			}
		}
	}
}

// sameDate has every change at one time, as a clock that is set back may have two.
type sameDate struct{ bitwarden.Secrets }

func (d sameDate) Get(ctx context.Context, id string) (bitwarden.Secret, error) {
	s, err := d.Secrets.Get(ctx, id)
	s.RevisionDate = time.Unix(1, 0)
	return s, err
}

func (d sameDate) Create(ctx context.Context, s bitwarden.Secret) (bitwarden.Secret, error) {
	s, err := d.Secrets.Create(ctx, s)
	s.RevisionDate = time.Unix(1, 0)
	return s, err
}

func TestASecretOfTheSameDateIsAnother(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b, err := bitwarden.New(sameDate{logIn(t, s, inProcess(s))}, bitwarden.Options{ProjectID: s.Project()})
	if err != nil {
		t.Fatal(err)
	}
	v := mustSave(t, b, "ana", `"1"`, core.Absent)
	if err := b.Delete(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	mustSave(t, b, "ana", `"2"`, core.Absent)
	if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte(`"3"`), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save over what was there before = %v, want core.ErrConflict", err)
	}
}

// A server on PostgreSQL answers a write with more digits than it keeps.
func TestVersionsAgreeWhateverTheDatabaseKeeps(t *testing.T) {
	for _, kept := range []time.Duration{100 * time.Nanosecond, time.Microsecond} {
		s := bitwardentest.New(bitwardentest.Options{DatePrecision: kept})
		b := openFirst(t, s)
		v := core.Absent
		for i := range 20 {
			data := fmt.Sprintf(`"%d"`, i)
			v = mustSave(t, b, "ana", data, v)
			if loaded := mustLoad(t, b, "ana", data); loaded != v {
				t.Fatalf("with %v kept, Save answered version %q, Load %q", kept, v, loaded)
			}
		}
		rec, err := b.Load(t.Context(), "ana")
		if revised := s.Secrets()[0].Revised; err != nil || !rec.Modified.Equal(revised.Truncate(kept)) {
			t.Errorf("Modified is %v, want %v; %v", rec.Modified, revised, err)
		}
	}
}

// neverSet is a client that a program declares and doesn't make.
type neverSet struct{ bitwarden.Secrets }

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	for _, unset := range []bitwarden.Secrets{nil, (*neverSet)(nil)} {
		if b, err := bitwarden.New(unset, bitwarden.Options{}); err == nil || b != nil {
			t.Errorf("New takes %T as a client", unset)
		}
	}
	for _, o := range []bitwarden.Options{
		{ProjectID: "first"},
		{OrganizationID: "{" + s.Organization() + "}"},
		{Prefix: " tokens/"},
		{Prefix: "\u2003"},
		{Prefix: "\xff"},
		{Prefix: strings.Repeat("p", 251)},
	} {
		if _, err := bitwarden.New(secrets, o); err == nil {
			t.Errorf("New takes %+v", o)
		}
	}
	b, err := bitwarden.New(secrets, bitwarden.Options{OrganizationID: s.Organization(), ProjectID: s.Project(), Prefix: strings.Repeat("é", 125)})
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("/", core.MaxKeyLen)
	mustSave(t, b, longest, "{}", core.Absent)
	wantKeys(t, b, longest)
	mustLoad(t, b, longest, "{}")
}

// Absent is what a 404 says of a secret, and nothing else.
func TestOnlyA404IsAbsent(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "ana", Value: `"1"`})
	for _, code := range []int{302, 400, 403, 405, 410, 500, 502, 503, 504} {
		for _, route := range []bitwardentest.Route{bitwardentest.Get, bitwardentest.List} {
			for _, key := range []string{id, "ana"} {
				if key == id && route == bitwardentest.List {
					continue
				}
				s.Inject(route, bitwardentest.Fault{Status: code})
				if _, err := openFirst(t, s).Load(t.Context(), key); !status(code)(err) || errors.Is(err, core.ErrNotFound) {
					t.Errorf("Load(%q), when %q is answered with %d = %v", key, route, code, err)
				}
				s.Inject(route, bitwardentest.Fault{Status: code})
				if ok, err := openFirst(t, s).Check(t.Context(), key); ok || !status(code)(err) {
					t.Errorf("Check(%q), when %q is answered with %d = %v, %v", key, route, code, ok, err)
				}
				s.Inject(route, bitwardentest.Fault{Status: code})
				if err := openFirst(t, s).Delete(t.Context(), key); !status(code)(err) {
					t.Errorf("Delete(%q), when %q is answered with %d = %v", key, route, code, err)
				}
			}
		}
		s.Inject(bitwardentest.Update, bitwardentest.Fault{Status: code})
		if _, err := openFirst(t, s).Save(t.Context(), "ana", core.Record{Data: []byte("{}"), Version: core.AnyVersion}); !status(code)(err) {
			t.Errorf("Save, when the update is answered with %d = %v", code, err)
		}
	}
	mustLoad(t, openFirst(t, s), id, `"1"`)

	elsewhere := open(t, s, s.AccessToken(), bitwarden.Options{OrganizationID: s.Project()})
	if _, err := elsewhere.Load(t.Context(), "ana"); !status(404)(err) || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load from an organization that isn't the account's = %v", err)
	}
}

func TestPingTellsThatTheAccountMayNotSeeTheProject(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	if err := openFirst(t, s).Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	b := open(t, s, s.AccessToken(), bitwarden.Options{OrganizationID: s.Project()})
	if err := b.Ping(t.Context()); !status(404)(err) {
		t.Errorf("Ping of an organization that isn't the account's = %v", err)
	}
}

func TestErrorsNameTheKey(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	b := openFirst(t, s)
	_, err := b.Load(context.Background(), "ana")
	if err == nil || err.Error() != `bitwarden: load "ana": no record` {
		t.Errorf("Load = %v", err)
	}
	s.Inject(bitwardentest.List, bitwardentest.Fault{Status: 502, Body: "<html>what a proxy shows"})
	_, err = b.Load(t.Context(), "ana")
	if err == nil || err.Error() != `bitwarden: load "ana": 502 Bad Gateway` {
		t.Errorf("Load that a proxy answers = %v", err)
	}
	s.Fail(-1)
	_, err = b.Load(t.Context(), "ana")
	if err == nil || err.Error() != `bitwarden: load "ana": 503 Service Unavailable: An error has occurred.` {
		t.Errorf("Load in an outage = %v", err)
	}
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(secrets bitwarden.Secrets, o bitwarden.Options) any {
		b, err := bitwarden.New(secrets, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	s := bitwardentest.New(bitwardentest.Options{})
	var logins [2]bitwarden.Secrets
	for i := range logins {
		var err error
		if logins[i], err = bitwarden.Login(t.Context(), s.AccessToken(), inProcess(s)); err != nil {
			t.Fatal(err)
		}
	}
	secrets, another := logins[0], logins[1]
	if first, second := at(secrets, bitwarden.Options{}), at(secrets, bitwarden.Options{}); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix":  at(secrets, bitwarden.Options{Prefix: "p"}),
		"another project": at(secrets, bitwarden.Options{ProjectID: s.Project()}),
		"another login":   at(another, bitwarden.Options{}),
	} {
		if other == at(secrets, bitwarden.Options{}) {
			t.Errorf("%s: one place", name)
		}
	}
}

//go:build cgo

package sdk_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/bitwarden/sdk"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// Each test below runs twice: the official SDK writes and the client in pure Go reads,
// and the other way round.
func bothWays(t *testing.T, s *bitwardentest.Server, test func(t *testing.T, writer, reader bitwarden.Secrets)) {
	file := stateFile(t)
	official, pure := login(t, s, file), pure(t, s, file)
	t.Run("official to pure", func(t *testing.T) { test(t, official, pure) })
	t.Run("pure to official", func(t *testing.T) { test(t, pure, official) })
}

func TestOneClientReadsTheSecretsThatTheOtherWrote(t *testing.T) {
	// PostgreSQL keeps less of a date than the answer to a write has.
	s := bitwardentest.Start(t, bitwardentest.Options{DatePrecision: time.Microsecond})
	values := map[string]tokencache.Secret{
		"JSON":                  `{"AccessToken":{"a":{"secret":"\"\\ü"}}}`,
		"Unicode":               "ü 日本語 🔑 u\u0308 \u2028",
		"white space":           " \t\nx\r\n ",
		"control characters":    "\x01\x7f\u0085",
		"one character":         "x",
		"a block":               tokencache.Secret(strings.Repeat("x", 16)),
		"25,000 characters":     tokencache.Secret(strings.Repeat("x", 25_000)),
		"8,000 of three bytes":  tokencache.Secret(strings.Repeat("語", 8_000)),
		"what looks like a key": "2.AAAA|AAAA|AAAA",
	}
	bothWays(t, s, func(t *testing.T, writer, reader bitwarden.Secrets) {
		for what, value := range values {
			sent := bitwarden.Secret{
				Key: "name of " + what, Value: value, Note: "a note", OrganizationID: s.Organization(), ProjectID: s.Project(),
			}
			created, err := writer.Create(t.Context(), sent)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			sent.ID = created.ID
			wantSecret(t, what+" created", created, sent)
			got := mustGet(t, reader, sent.ID)
			wantSecret(t, what+" read", got, sent)
			if !sameInstant(got, created) {
				t.Errorf("%s: created at %v, read with %v", what, created.RevisionDate, got.RevisionDate)
			}

			sent.Value, sent.Key, sent.Note = "another value", "another name", ""
			updated, err := writer.Update(t.Context(), sent)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			wantSecret(t, what+" updated", updated, sent)
			after := mustGet(t, reader, sent.ID)
			wantSecret(t, what+" read again", after, sent)
			if sameInstant(after, got) || !sameInstant(after, updated) {
				t.Errorf("%s: the revision dates are %v, %v, %v", what, got.RevisionDate, updated.RevisionDate, after.RevisionDate)
			}

			if err := writer.Delete(t.Context(), sent.ID); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for who, c := range map[string]bitwarden.Secrets{"writer": writer, "reader": reader} {
				_, get := c.Get(t.Context(), sent.ID)
				_, update := c.Update(t.Context(), sent)
				for op, err := range map[string]error{"get": get, "update": update, "delete": c.Delete(t.Context(), sent.ID)} {
					if !errors.Is(err, core.ErrNotFound) {
						t.Errorf("%s: the %s's %s of a secret that is gone: %v", what, who, op, err)
					}
				}
			}
		}
	})
}

func wantSecret(t *testing.T, what string, got, want bitwarden.Secret) {
	t.Helper()
	got.RevisionDate = want.RevisionDate
	if got != want {
		t.Errorf("%s: the secret differs: value %.20q, want %.20q; key %q, note %q, organization %s, project %s",
			what, got.Value.Reveal(), want.Value.Reveal(), got.Key, got.Note.Reveal(), got.OrganizationID, got.ProjectID)
	}
}

// sameInstant compares what every database keeps.
func sameInstant(a, b bitwarden.Secret) bool {
	return a.RevisionDate.Truncate(time.Microsecond).Equal(b.RevisionDate.Truncate(time.Microsecond))
}

func TestBothClientsListTheSame(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	other := s.NewProject("other")
	for _, name := range []string{"a", "ü", "same", "same"} {
		s.Add(bitwardentest.Secret{Key: name, Value: "x"})
		s.Add(bitwardentest.Secret{Key: name, Value: "x", Project: other})
	}
	bothWays(t, s, func(t *testing.T, one, two bitwarden.Secrets) {
		a, err := one.List(t.Context(), s.Organization())
		if err != nil {
			t.Fatal(err)
		}
		b, err := two.List(t.Context(), s.Organization())
		if err != nil {
			t.Fatal(err)
		}
		for _, ids := range [][]bitwarden.Identifier{a, b} {
			slices.SortFunc(ids, func(x, y bitwarden.Identifier) int { return cmp.Compare(x.ID, y.ID) })
			for i := range ids {
				ids[i].ProjectID = "" // the official SDK doesn't say
			}
		}
		if len(a) != 8 || !slices.Equal(a, b) {
			t.Errorf("listed %+v\nand %+v", a, b)
		}
	})
}

func TestBothClientsRefuseAValueThatIsTooLong(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	for who, secrets := range map[string]bitwarden.Secrets{"official": login(t, s, ""), "pure": pure(t, s, "")} {
		b := newBackend(t, s, secrets)
		_, err := b.Save(t.Context(), "k", core.Record{Data: []byte(strings.Repeat("x", 25_001)), Version: core.AnyVersion})
		if !errors.Is(err, core.ErrTooLarge) || !strings.Contains(err.Error(), "25001") || !strings.Contains(err.Error(), "25000") {
			t.Errorf("%s: %v", who, err)
		}
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte(strings.Repeat("語", 8333)), Version: core.AnyVersion}); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
}

// The backend over both clients, with what the clients alone don't have.
func TestTheBackendDoesTheSameOverBothClients(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{DatePrecision: time.Microsecond})
	records := map[string][]byte{
		"o365_token.txt":  []byte(`{"AccessToken":{}}`),
		"ana@contoso.com": []byte("\x00\xff\n"),
		"日本語":             []byte("base64:"),
		"large":           []byte(strings.Repeat("x", 25_000)),
	}
	bothWays(t, s, func(t *testing.T, writing, reading bitwarden.Secrets) {
		writer, reader := newBackend(t, s, writing), newBackend(t, s, reading)
		for key, data := range records {
			v, err := writer.Save(t.Context(), key, core.Record{Data: data, Version: core.Absent})
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			rec, err := reader.Load(t.Context(), key)
			if err != nil || string(rec.Data) != string(data) || rec.Version != v {
				t.Fatalf("%s: loaded %.20q %q, %v; saved as %q", key, rec.Data, rec.Version, err, v)
			}
			// The version of one is good for the other.
			v, err = reader.Save(t.Context(), key, core.Record{Data: []byte("changed"), Version: v})
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if _, err := writer.Save(t.Context(), key, core.Record{Data: data, Version: rec.Version}); !errors.Is(err, core.ErrConflict) {
				t.Errorf("%s: an old version: %v", key, err)
			}
			if rec, err := writer.Load(t.Context(), key); err != nil || string(rec.Data) != "changed" || rec.Version != v {
				t.Errorf("%s: loaded %q %q, %v", key, rec.Data, rec.Version, err)
			}
		}
		for who, b := range map[string]*bitwarden.Backend{"writer": writer, "reader": reader} {
			n := 0
			for key, err := range b.Keys(t.Context()) {
				if _, known := records[key]; err != nil || !known {
					t.Errorf("the %s's keys: %q, %v", who, key, err)
				}
				n++
			}
			if n != len(records) {
				t.Errorf("the %s has %d keys", who, n)
			}
		}
		for key := range records {
			if err := reader.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if _, err := writer.Load(t.Context(), key); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("%s after its deletion: %v", key, err)
			}
		}
	})
}

// The official SDK lists secrets without their projects.
func TestNamesBelongToAProject(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	other := s.NewProject("other")
	s.Add(bitwardentest.Secret{Key: "k", Value: "theirs", Project: other})
	s.Add(bitwardentest.Secret{Key: "theirs", Value: "theirs", Project: other})
	ours := s.Add(bitwardentest.Secret{Key: "k", Value: "ours"})
	for who, secrets := range map[string]bitwarden.Secrets{"official": login(t, s, ""), "pure": pure(t, s, "")} {
		b := newBackend(t, s, secrets)
		if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != "ours" {
			t.Errorf("%s: loaded %q, %v", who, rec.Data, err)
		}
		if stored, err := b.Check(t.Context(), "theirs"); stored || err != nil {
			t.Errorf("%s: another project's is stored: %v, %v", who, stored, err)
		}
		for key, err := range b.Keys(t.Context()) {
			if key != "k" || err != nil {
				t.Errorf("%s: listed %q, %v", who, key, err)
			}
		}
	}

	twin := s.Add(bitwardentest.Secret{Key: "k", Value: "twin"})
	for who, secrets := range map[string]bitwarden.Secrets{"official": login(t, s, ""), "pure": pure(t, s, "")} {
		_, err := newBackend(t, s, secrets).Load(t.Context(), "k")
		var duplicate *bitwarden.DuplicateError
		if !errors.As(err, &duplicate) || !strings.Contains(err.Error(), ours) || !strings.Contains(err.Error(), twin) || len(duplicate.IDs) != 2 {
			t.Errorf("%s: of two with one name: %v", who, err)
		}
	}
}

func TestAnAccountThatMayOnlyReadIsErrReadOnly(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "k", Value: "before"})
	token := s.NewAccount(bitwardentest.Account{ReadOnly: true})
	reader, err := sdk.Login(t.Context(), token, at(s, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	b := newBackend(t, s, reader)
	for _, key := range []string{"k", id} {
		if _, err := b.Load(t.Context(), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := b.Save(t.Context(), key, core.Record{Data: []byte("after"), Version: core.AnyVersion}); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%s saved: %v", key, err)
		}
		if err := b.Delete(t.Context(), key); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%s deleted: %v", key, err)
		}
	}
	if stored := s.Secrets(); len(stored) != 1 || stored[0].Value != "before" {
		t.Errorf("stored is %+v", stored)
	}
}

func TestTheBackendMakesTheSameRequestsOverTheSDK(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	file := stateFile(t)
	first := newBackend(t, s, login(t, s, file))
	if _, err := first.Save(t.Context(), "k", core.Record{Data: []byte("x"), Version: core.AnyVersion}); err != nil {
		t.Fatal(err)
	}
	b := newBackend(t, s, login(t, s, file))
	for what, c := range map[string]struct {
		call func() error
		want int
	}{
		"load": {func() error { _, err := b.Load(t.Context(), "k"); return err }, 1},
		"save": {func() error {
			_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("y"), Version: core.AnyVersion})
			return err
		}, 1},
	} {
		if _, err := b.Load(t.Context(), "k"); err != nil { // the id is known from here on
			t.Fatal(err)
		}
		wantLogins(t, s, 1)
		before := s.Counts().Total()
		if err := c.call(); err != nil {
			t.Fatal(err)
		}
		if n := s.Counts().Total() - before; n != c.want {
			t.Errorf("%s took %d requests", what, n)
		}
	}
}

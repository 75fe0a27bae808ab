package bitwarden_test

import (
	"errors"
	"testing"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// inProcess reaches a server without a network, so that time can be a bubble's.
func inProcess(s *bitwardentest.Server) bitwarden.LoginOptions {
	var o bitwarden.LoginOptions
	o.APIURL, o.IdentityURL, o.HTTPClient = s.InProcess()
	return o
}

func logIn(t *testing.T, s *bitwardentest.Server, o bitwarden.LoginOptions) bitwarden.Secrets {
	t.Helper()
	secrets, err := bitwarden.Login(t.Context(), s.AccessToken(), o)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func wantLogins(t *testing.T, s *bitwardentest.Server, want int) {
	t.Helper()
	if got := s.Counts()[bitwardentest.Login]; got != want {
		t.Errorf("there were %d logins, want %d", got, want)
	}
}

func status(code int) func(error) bool {
	return func(err error) bool {
		s, ok := errors.AsType[*bitwarden.StatusError](err)
		return ok && s.StatusCode == code
	}
}

func TestTheFiveCallsPassOnEveryFieldAndEveryError(t *testing.T) {
	ctx := t.Context()
	s := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	created, err := secrets.Create(ctx, bitwarden.Secret{Key: "ana", Value: "first", Note: "by hand", ProjectID: s.Project()})
	if err != nil {
		t.Fatal(err)
	}
	want := bitwarden.Secret{
		ID: created.ID, Key: "ana", Value: "first", Note: "by hand",
		OrganizationID: s.Organization(), ProjectID: s.Project(), RevisionDate: created.RevisionDate,
	}
	if got, err := secrets.Get(ctx, created.ID); err != nil || created != want || got != want || got.ID == "" || got.RevisionDate.IsZero() {
		t.Errorf("created %+v, got %+v, %v", created, got, err)
	}
	want.Value = "second"
	updated, err := secrets.Update(ctx, want)
	if want.RevisionDate = updated.RevisionDate; err != nil || updated != want || !updated.RevisionDate.After(created.RevisionDate) {
		t.Errorf("updated %+v, %v", updated, err)
	}
	ids, err := secrets.List(ctx, "")
	if id := (bitwarden.Identifier{ID: created.ID, Key: "ana", ProjectID: s.Project()}); err != nil || len(ids) != 1 || ids[0] != id {
		t.Errorf("listed %+v, %v, want %+v", ids, err, id)
	}
	if err := secrets.Delete(ctx, created.ID); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Get":    func() error { _, err := secrets.Get(ctx, created.ID); return err },
		"Update": func() error { _, err := secrets.Update(ctx, want); return err },
		"Delete": func() error { return secrets.Delete(ctx, created.ID) },
		"List":   func() error { _, err := secrets.List(ctx, ""); return err },
		"Create": func() error {
			_, err := secrets.Create(ctx, bitwarden.Secret{Key: "ana", ProjectID: s.Project()})
			return err
		},
	}
	for _, call := range []string{"Get", "Update", "Delete"} {
		if err := calls[call](); !errors.Is(err, core.ErrNotFound) || !status(404)(err) {
			t.Errorf("%s of a deleted secret = %v, want core.ErrNotFound and the server's answer", call, err)
		}
	}
	s.Fail(-1)
	for name, call := range calls {
		if err := call(); !status(503)(err) || errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s in an outage = %v, want the server's 503", name, err)
		}
	}
}

func TestAFailedLoginIsAnErrorOfTheBackend(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	s.Inject(bitwardentest.Login, bitwardentest.Unavailable())
	for _, token := range []string{s.AccessToken(), "hunter2"} {
		secrets, err := bitwarden.Login(t.Context(), token, inProcess(s))
		if failed, ok := errors.AsType[*core.Error](err); secrets != nil || !ok || failed.Op != "login" || failed.Backend != "bitwarden" {
			t.Errorf("Login = %v, %v, want nil and a *core.Error about bitwarden's login", secrets, err)
		}
		if status(503)(err) != (token != "hunter2") {
			t.Errorf("Login = %v", err)
		}
	}
}

func TestALoginStoresItsStateAndSpeaksToTheServersOfItsOptions(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	o := inProcess(s)
	o.StateFile = t.TempDir() + "/state"
	for range 2 {
		if _, err := logIn(t, s, o).List(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	wantLogins(t, s, 1)
}

// escapes are what a terminal would obey, and a log would break at.
const escapes = "\x1b]0;owned\a\r\nline\u202e\u200b"

func TestIDsOfDuplicatesAreFitForATerminal(t *testing.T) {
	err := &bitwarden.DuplicateError{Name: "ana", IDs: []string{"a" + escapes, "b"}}
	if got, want := err.Error(), `2 secrets are named "ana": a]0;owned line, b`; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
}

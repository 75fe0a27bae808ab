package bitwardenclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// inProcess reaches a server without a network, so that time can be a bubble's.
func inProcess(s *bitwardentest.Server) bitwardenclient.Options {
	var o bitwardenclient.Options
	o.APIURL, o.IdentityURL, o.HTTPClient = s.InProcess()
	return o
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func logIn(t *testing.T, s *bitwardentest.Server, o bitwardenclient.Options) bitwardenclient.Secrets {
	t.Helper()
	secrets, err := bitwardenclient.Login(t.Context(), s.AccessToken(), o)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func mustList(t *testing.T, secrets bitwardenclient.Secrets) {
	t.Helper()
	if _, err := secrets.List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
}

func wantLogins(t *testing.T, s *bitwardentest.Server, want int) {
	t.Helper()
	if got := s.Counts()[bitwardentest.Login]; got != want {
		t.Errorf("there were %d logins, want %d", got, want)
	}
}

func TestTheFiveCallsDoWhatTheirNamesSay(t *testing.T) {
	ctx := t.Context()
	s := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	created, err := secrets.Create(ctx, bitwardenclient.Secret{Key: "ana", Value: "first", Note: "by hand", ProjectID: s.Project()})
	if err != nil {
		t.Fatal(err)
	}
	if created.ID == "" || created.RevisionDate.IsZero() || created.OrganizationID != s.Organization() {
		t.Errorf("created %+v", created)
	}
	got, err := secrets.Get(ctx, created.ID)
	if err != nil || got != created {
		t.Errorf("created %+v, got %+v, %v", created, got, err)
	}
	got.Value = "second"
	updated, err := secrets.Update(ctx, got)
	if err != nil || !updated.RevisionDate.After(created.RevisionDate) || updated.ProjectID != s.Project() {
		t.Errorf("updated %+v, %v", updated, err)
	}
	ids, err := secrets.List(ctx, s.Organization())
	if want := (bitwardenclient.Identifier{ID: created.ID, Key: "ana", ProjectID: s.Project()}); err != nil || len(ids) != 1 || ids[0] != want {
		t.Errorf("listed %+v, %v, want %+v", ids, err, want)
	}
	if stored := s.Secrets(); len(stored) != 1 || stored[0].Value != "second" || stored[0].Note != "by hand" {
		t.Errorf("stored is %+v", stored)
	}
	if err := secrets.Delete(ctx, created.ID); err != nil || len(s.Secrets()) != 0 {
		t.Errorf("Delete = %v", err)
	}
	_, err = secrets.Get(ctx, created.ID)
	wantAbsent(t, "Get", err)
	_, err = secrets.Update(ctx, got)
	wantAbsent(t, "Update", err)
	wantAbsent(t, "Delete", secrets.Delete(ctx, created.ID))
	for _, page := range []string{"404 page not found", "<h1>Not Found</h1>", "{}", "[]"} {
		s.Inject(bitwardentest.Get, bitwardentest.Fault{Status: 404, Body: page})
		if _, err := secrets.Get(ctx, created.ID); !status(404)(err) || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Get that is answered 404 with %s = %v, want that and not absent", page, err)
		}
	}
	_, err = secrets.Get(ctx, "../organizations")
	if !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Get of what is no id = %v", err)
	}
	// Where nothing can be absent, a 404 says something else.
	_, err = secrets.Create(ctx, bitwardenclient.Secret{Key: "ana", Value: "x", ProjectID: "00000000-0000-0000-0000-000000000000"})
	if status := (*bitwardenclient.StatusError)(nil); !errors.As(err, &status) || status.StatusCode != 404 || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Create in a project that isn't there = %v", err)
	}
	wantLogins(t, s, 1)
}

func wantAbsent(t *testing.T, what string, err error) {
	t.Helper()
	if status := (*bitwardenclient.StatusError)(nil); !errors.Is(err, core.ErrNotFound) || !errors.As(err, &status) {
		t.Errorf("%s of a deleted secret = %v, want core.ErrNotFound and the server's answer", what, err)
	}
}

func TestOneLoginInTheLifeOfAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		o := inProcess(s)
		o.StateFile = filepath.Join(t.TempDir(), "state")
		for range 10 {
			mustList(t, logIn(t, s, o))
		}
		wantLogins(t, s, 1)
		if runtime.GOOS != "windows" {
			if info, err := os.Stat(o.StateFile); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the state file is %v, %v", info, err)
			}
		}
		if entries, err := os.ReadDir(filepath.Dir(o.StateFile)); err != nil || len(entries) != 1 {
			t.Errorf("beside the state file are %v, %v", entries, err)
		}

		// The token ends in more than five minutes. Of three that share the
		// file, one logs in.
		first, second, third := logIn(t, s, o), logIn(t, s, o), logIn(t, s, o)
		before, err := os.Stat(o.StateFile)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(55*time.Minute + time.Second)
		mustList(t, first)
		if after, err := os.Stat(o.StateFile); err != nil || os.SameFile(before, after) {
			t.Errorf("the state file was written in place, where others read it: %v", err)
		}
		mustList(t, second)
		mustList(t, third)
		mustList(t, logIn(t, s, o))
		wantLogins(t, s, 2)
	})
}

func TestABrokenStateFileCostsOneLogin(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	o := inProcess(s)
	o.StateFile = filepath.Join(t.TempDir(), "state")
	logIn(t, s, o)
	whole, err := os.ReadFile(o.StateFile)
	if err != nil {
		t.Fatal(err)
	}
	foreign := inProcess(s)
	foreign.StateFile = filepath.Join(t.TempDir(), "state")
	if _, err := bitwardenclient.Login(t.Context(), s.NewAccount(bitwardentest.Account{}), foreign); err != nil {
		t.Fatal(err)
	}
	another, err := os.ReadFile(foreign.StateFile)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{
		"empty":           {},
		"cut short":       whole[:len(whole)/2],
		"no EncString":    []byte("{}"),
		"another token's": another,
	} {
		if err := os.WriteFile(o.StateFile, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s.ResetCounts()
		mustList(t, logIn(t, s, o))
		mustList(t, logIn(t, s, o))
		if got := s.Counts()[bitwardentest.Login]; got != 1 {
			t.Errorf("%s: two starts made %d logins, want 1", what, got)
		}
	}

	// The file can't know that the server has ended a token.
	s.ResetCounts()
	s.ExpireBearers()
	mustList(t, logIn(t, s, o))
	mustList(t, logIn(t, s, o))
	wantLogins(t, s, 1)

}

func TestAStateFileThatCannotBeWrittenIsAnError(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	o := inProcess(s)
	o.StateFile = filepath.Join(t.TempDir(), "no directory", "state")
	if _, err := bitwardenclient.Login(t.Context(), s.AccessToken(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Login with a state file in no directory = %v, want os.ErrNotExist", err)
	}
	o.StateFile = filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(o.StateFile, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := bitwardenclient.Login(t.Context(), s.AccessToken(), o); err == nil {
		t.Error("Login with a directory as its state file = nil")
	}
	if entries, err := os.ReadDir(filepath.Dir(o.StateFile)); err != nil || len(entries) != 1 {
		t.Errorf("it left %v, %v", entries, err)
	}

	// Once a program runs, it goes on without.
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		o := inProcess(s)
		o.StateFile = filepath.Join(t.TempDir(), "directory", "state")
		if err := os.Mkdir(filepath.Dir(o.StateFile), 0o700); err != nil {
			t.Fatal(err)
		}
		secrets := logIn(t, s, o)
		if err := os.RemoveAll(filepath.Dir(o.StateFile)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		mustList(t, secrets)
		mustList(t, secrets)
		wantLogins(t, s, 2)
	})
}

func TestAShortLoginIsRenewedAtNineTenths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{Lifetime: 4 * time.Minute})
		secrets := logIn(t, s, inProcess(s))
		for _, c := range []struct {
			wait   time.Duration
			logins int
		}{{3 * time.Minute, 1}, {35 * time.Second, 1}, {2 * time.Second, 2}, {time.Minute, 2}} {
			time.Sleep(c.wait)
			mustList(t, secrets)
			wantLogins(t, s, c.logins)
		}
	})
}

func TestALoginThatIsRefusedAgainAndAgainEndsInAnError(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	s.OnRequest(func(r bitwardentest.Route) bitwardentest.Fault {
		if r == bitwardentest.List {
			return bitwardentest.Fault{Status: 401}
		}
		return bitwardentest.Fault{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := secrets.List(ctx, ""); !status(401)(err) || s.Counts()[bitwardentest.List] != 2 {
		t.Errorf("List = %v, after %d requests; want the 401 of the second", err, s.Counts()[bitwardentest.List])
	}
	wantLogins(t, s, 2)
}

// How long a login lasts is known; when it ends, by whose clock, is not.
func TestALoginLastsAsLongAsTheServerSaysWhateverItsClock(t *testing.T) {
	for _, ahead := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := bitwardentest.New(bitwardentest.Options{Clock: func() time.Time { return time.Now().Add(ahead) }})
			secrets := logIn(t, s, inProcess(s))
			mustList(t, secrets)
			time.Sleep(50 * time.Minute)
			mustList(t, secrets)
			wantLogins(t, s, 1)
			time.Sleep(6 * time.Minute)
			mustList(t, secrets)
			wantLogins(t, s, 2)
		})
	}
}

func TestALoginThatHasExpiredAtOnceIsAnError(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Second / 2, -time.Hour} {
		s := bitwardentest.New(bitwardentest.Options{Lifetime: lifetime})
		if secrets, err := bitwardenclient.Login(t.Context(), s.AccessToken(), inProcess(s)); err == nil || secrets != nil {
			t.Errorf("Login for %v = %v, %v", lifetime, secrets, err)
		}
	}
}

func TestLoginsAreRenewedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		secrets := logIn(t, s, inProcess(s))
		// all calls at one time, and returns how many had to wait for a login.
		all := func() (waited int32) {
			granted := make(chan struct{})
			s.Inject(bitwardentest.Login, bitwardentest.Fault{Hold: granted})
			defer s.Fail(0) // where nobody logged in
			var group sync.WaitGroup
			var waiting atomic.Int32
			for range 20 {
				waiting.Add(1)
				group.Go(func() { defer waiting.Add(-1); mustList(t, secrets) })
			}
			synctest.Wait()
			waited = waiting.Load()
			close(granted)
			group.Wait()
			return waited
		}
		for _, c := range []struct {
			when   string
			before func()
			waited int32
			logins int
		}{
			{"well before the end", func() { time.Sleep(54 * time.Minute) }, 0, 1},
			{"in the last five minutes, while it is good", func() { time.Sleep(2 * time.Minute) }, 1, 2},
			{"past the end", func() { time.Sleep(2 * time.Hour) }, 20, 3},
			{"taken back by the server", s.ExpireBearers, 20, 4},
		} {
			c.before()
			if waited := all(); waited != c.waited {
				t.Errorf("%s: %d of 20 waited for a login, want %d", c.when, waited, c.waited)
			}
			wantLogins(t, s, c.logins)
		}
	})
}

func TestALoginThatCantBeRenewedServesUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		secrets := logIn(t, s, inProcess(s))
		s.OnRequest(func(r bitwardentest.Route) bitwardentest.Fault {
			if r == bitwardentest.Login {
				return bitwardentest.Unavailable()
			}
			return bitwardentest.Fault{}
		})
		time.Sleep(56 * time.Minute)
		s.Inject(bitwardentest.Login, bitwardentest.Throttled(time.Minute))
		begun := time.Now()
		for range 10 {
			mustList(t, secrets)
		}
		wantLogins(t, s, 2) // it isn't tried again at once
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("they waited %v for what they can do without", waited)
		}
		time.Sleep(5 * time.Minute)
		_, err := secrets.List(t.Context(), "")
		if status := (*bitwardenclient.StatusError)(nil); !errors.As(err, &status) || status.StatusCode != 503 {
			t.Errorf("List after the end = %v, want the server's 503", err)
		}
		s.OnRequest(nil)
		mustList(t, secrets)
	})
}

func TestARenewalGoesOnWhenItsCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		secrets := logIn(t, s, inProcess(s))
		time.Sleep(2 * time.Hour)
		s.Inject(bitwardentest.Login, bitwardentest.Fault{Hold: make(chan struct{})})
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := secrets.List(ctx, "")
			left <- err
		}()
		synctest.Wait()
		stayed := make(chan error, 1)
		go func() {
			_, err := secrets.List(t.Context(), "")
			stayed <- err
		}()
		synctest.Wait()
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := secrets.List(impatient, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("List while another renews, until its deadline = %v", err)
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("List whose caller left = %v", err)
		}
		if err := <-stayed; err != nil {
			t.Errorf("List that waited for its renewal = %v", err)
		}
	})
}

func TestARequestWaitsAsLongAsTheServerAsks(t *testing.T) {
	const s1, s2 = time.Second, 2 * time.Second
	throttled, list := bitwardentest.Throttled, bitwardentest.List
	unavailable := func(after string) bitwardentest.Fault {
		return bitwardentest.Fault{Status: 503, Header: http.Header{"Retry-After": {after}}}
	}
	for _, c := range []struct {
		name    string
		faults  []bitwardentest.Fault
		timeout time.Duration
		status  int           // zero: success
		least   time.Duration // how long it takes; a quarter more at most
		calls   int
	}{
		{"once", []bitwardentest.Fault{throttled(3 * s1)}, 0, 0, 3 * s1, 2},
		{"three times", []bitwardentest.Fault{throttled(s1), throttled(s2), throttled(s1)}, 0, 0, 4 * s1, 4},
		{"no fourth time", []bitwardentest.Fault{throttled(s1), throttled(s1), throttled(s1), throttled(s1)}, 0, 429, 3 * s1, 4},
		{"without a time", []bitwardentest.Fault{{Status: 429}, {Status: 429}}, 0, 0, 3 * s1, 3},
		{"a 503 with a time", []bitwardentest.Fault{unavailable("2")}, 0, 0, s2, 2},
		{"a 503 without", []bitwardentest.Fault{{Status: 503}}, 0, 503, 0, 1},
		{"a 503 with gibberish", []bitwardentest.Fault{unavailable("soon")}, 0, 503, 0, 1},
		{"a 500", []bitwardentest.Fault{{Status: 500}}, 0, 500, 0, 1},
		{"not for an hour", []bitwardentest.Fault{throttled(time.Hour)}, 0, 429, 0, 1},
		{"not for ever", []bitwardentest.Fault{{Status: 429, Header: http.Header{"Retry-After": {"9999999999999"}}}}, 0, 429, 0, 1},
		{"not for less than nothing", []bitwardentest.Fault{{Status: 429, Header: http.Header{"Retry-After": {"-5"}}}}, 0, 0, s1, 2},
		{"not past the deadline", []bitwardentest.Fault{throttled(20 * s1)}, 10 * s1, 429, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bitwardentest.New(bitwardentest.Options{})
				secrets := logIn(t, s, inProcess(s))
				s.Inject(list, c.faults...)
				ctx := t.Context()
				if c.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.timeout)
					defer cancel()
				}
				begun := time.Now()
				_, err := secrets.List(ctx, "")
				took := time.Since(begun)
				if status := (*bitwardenclient.StatusError)(nil); errors.As(err, &status) && status.StatusCode != c.status || (err == nil) != (c.status == 0) {
					t.Errorf("List = %v, want %d", err, c.status)
				}
				if took < c.least || took > c.least*5/4+time.Millisecond {
					t.Errorf("it took %v, want %v and up to a quarter more", took, c.least)
				}
				if got := s.Counts()[list]; got != c.calls {
					t.Errorf("the server was asked %d times, want %d", got, c.calls)
				}
			})
		})
	}
}

func TestADateToRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		secrets := logIn(t, s, inProcess(s))
		begun := time.Now()
		s.Inject(bitwardentest.List, bitwardentest.Fault{Status: 429, Header: http.Header{
			"Retry-After": {begun.Add(10 * time.Second).UTC().Format(http.TimeFormat)},
		}})
		mustList(t, secrets)
		if took := time.Since(begun); took < 9*time.Second || took > 13*time.Second {
			t.Errorf("it took %v, want the 10 seconds until the date", took)
		}
	})
}

func TestAllRequestsWaitWhenTheServerAsksOneToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{RequestsPerSecond: 5})
		secrets := logIn(t, s, inProcess(s))
		var group sync.WaitGroup
		for range 15 {
			group.Go(func() { mustList(t, secrets) })
		}
		group.Wait()
		// 15 are three seconds' worth; who is refused waits, and doesn't ask on.
		if got := s.Counts()[bitwardentest.List]; got > 40 {
			t.Errorf("15 calls were %d requests", got)
		}
		s.Inject(bitwardentest.List, bitwardentest.Throttled(30*time.Second))
		go func() { mustList(t, secrets) }()
		synctest.Wait()
		s.ResetCounts()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := secrets.Get(ctx, s.Project()); !errors.Is(err, context.DeadlineExceeded) || s.Counts().Total() != 0 {
			t.Errorf("Get while all wait = %v, after %d requests", err, s.Counts().Total())
		}
		time.Sleep(time.Minute)
	})
}

func TestRequestsThatWaitedTogetherAreNotSentAgainAtOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		secrets := logIn(t, s, inProcess(s))
		const callers = 20
		for range callers {
			s.Inject(bitwardentest.List, bitwardentest.Throttled(10*time.Second))
		}
		begun := time.Now()
		took := make([]time.Duration, callers)
		var group sync.WaitGroup
		for i := range took {
			group.Go(func() {
				mustList(t, secrets)
				took[i] = time.Since(begun)
			})
		}
		group.Wait()
		slices.Sort(took)
		if distinct := len(slices.Compact(slices.Clone(took))); distinct < callers/2 || took[0] < 10*time.Second {
			t.Errorf("%d requests that were asked to wait 10 seconds were sent again at %d moments: %v", callers, distinct, took)
		}
	})
}

func TestCancellingInterruptsARequest(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	secrets := logIn(t, s, bitwardenclient.Options{APIURL: s.APIURL(), IdentityURL: s.IdentityURL()})
	id := s.Add(bitwardentest.Secret{Key: "ana", Value: "before"})
	for what, call := range map[string]func(ctx context.Context) error{
		"Get":  func(ctx context.Context) error { _, err := secrets.Get(ctx, id); return err },
		"List": func(ctx context.Context) error { _, err := secrets.List(ctx, ""); return err },
		"Create": func(ctx context.Context) error {
			_, err := secrets.Create(ctx, bitwardenclient.Secret{Key: "x"})
			return err
		},
		"Update": func(ctx context.Context) error {
			_, err := secrets.Update(ctx, bitwardenclient.Secret{ID: id, Key: "x"})
			return err
		},
		"Delete": func(ctx context.Context) error { return secrets.Delete(ctx, id) },
		"Login": func(ctx context.Context) error {
			_, err := bitwardenclient.Login(ctx, s.AccessToken(), bitwardenclient.Options{APIURL: s.APIURL(), IdentityURL: s.IdentityURL()})
			return err
		},
	} {
		s.Fail(0)
		s.Inject(bitwardentest.Any, bitwardentest.Fault{Hold: make(chan struct{})})
		before := s.Counts().Total()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		if err := s.Await(t.Context(), bitwardentest.Any, before+1); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s that was cancelled = %v", what, err)
		}
	}
	if stored := s.Secrets(); len(stored) != 1 || stored[0].Value != "before" {
		t.Errorf("stored is %+v", stored)
	}
}

func TestCredentialsStayOnTheirServer(t *testing.T) {
	for _, o := range []bitwardenclient.Options{
		{APIURL: "http://vault.example.com/api"},
		{IdentityURL: "http://vault.example.com/identity"},
		{IdentityURL: "http://127.0.0.1.example.com"},
		{IdentityURL: "ftp://127.0.0.1"},
		{IdentityURL: "vault.example.com"},
		{APIURL: "https://ana:hunter2@vault.example.com"},
		{APIURL: "https://vault.example.com/api?x=hunter2"},
		{APIURL: "https://vault.example.com/%zz?hunter2"},
	} {
		o.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			t.Errorf("with %+v a request goes to %s", o, r.URL)
			return nil, errors.ErrUnsupported
		})}
		_, err := bitwardenclient.Login(t.Context(), bitwardentest.New(bitwardentest.Options{}).AccessToken(), o)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Login with %s and %s = %v", o.APIURL, o.IdentityURL, err)
		}
	}

	s := bitwardentest.New(bitwardentest.Options{})
	var asked []string
	o := bitwardenclient.Options{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String())
		return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"https://elsewhere.example.com"}}, Body: http.NoBody}, nil
	})}}
	_, err := bitwardenclient.Login(t.Context(), s.AccessToken(), o)
	if status := (*bitwardenclient.StatusError)(nil); !errors.As(err, &status) || status.StatusCode != 307 {
		t.Errorf("Login that is redirected = %v", err)
	}
	if want := "https://identity.bitwarden.com/connect/token"; len(asked) != 1 || asked[0] != want {
		t.Errorf("the login went to %q, want %s", asked, want)
	}
}

func TestEachKindOfFailedLoginHasItsError(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	o := inProcess(s)
	token := s.AccessToken()
	colon := strings.IndexByte(token, ':')
	for what, c := range map[string]struct {
		token string
		fault bitwardentest.Fault
		check func(error) bool
	}{
		"a revoked token":      {token: "0.ec2c1d46-6a4b-4751-a310-af9601317f2d.hunter2" + token[colon:], check: status(400)},
		"a wrong secret":       {token: token[:colon] + "hunter2" + token[colon:], check: status(400)},
		"a wrong key":          {token: token[:colon+1] + "X8vbvA0bduihIDe/qrzIQQ==", check: is(core.ErrDecrypt)},
		"no token":             {token: "hunter2"},
		"an outage":            {token: token, fault: bitwardentest.Unavailable(), check: status(503)},
		"a broken connection":  {token: token, fault: bitwardentest.Fault{Drop: true}},
		"no JSON":              {token: token, fault: bitwardentest.Fault{Status: 200, Body: "<html>"}},
		"no payload":           {token: token, fault: bitwardentest.Fault{Status: 200, Body: `{"access_token":"a.b.c","expires_in":3600}`}, check: is(core.ErrDecrypt)},
		"a message in its way": {token: token, fault: bitwardentest.Fault{Status: 400, Body: `{"message":"` + strings.Repeat("é", 5000) + `"}`}, check: status(400)},
	} {
		if c.fault.Status != 0 || c.fault.Drop {
			s.Inject(bitwardentest.Login, c.fault)
		}
		secrets, err := bitwardenclient.Login(t.Context(), c.token, o)
		if err == nil || secrets != nil || c.check != nil && !c.check(err) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, part := range strings.FieldsFunc(c.token, func(r rune) bool { return r == '.' || r == ':' })[1:] {
			if strings.Contains(fmt.Sprintf("%+v", err), part) && !strings.Contains(part, "-") || len(err.Error()) > 500 {
				t.Errorf("%s: the error shows too much: %v", what, err)
			}
		}
	}
}

func status(code int) func(error) bool {
	return func(err error) bool {
		s := (*bitwardenclient.StatusError)(nil)
		return errors.As(err, &s) && s.StatusCode == code
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func TestASecretThatCannotBeDecryptedIsErrDecrypt(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	other := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	id := s.Add(bitwardentest.Secret{Key: "ana", Value: "hunter2"})
	whole := s.Encrypted(id)
	for what, value := range map[string]string{
		"another key's":    other.Encrypt("hunter2"),
		"a truncated one":  whole[:len(whole)-20],
		"plain text":       "hunter2",
		"nothing":          "",
		"one without MAC":  "0." + strings.Join(strings.Split(whole[2:], "|")[:2], "|"),
		"a type to come":   "7.aHVudGVyMg==",
		"one tampered":     strings.Replace(whole, "|", "|AAAA", 1),
		"a line behind it": whole + "\n.",
	} {
		s.SetEncrypted(id, value)
		got, err := secrets.Get(t.Context(), id)
		if !errors.Is(err, core.ErrDecrypt) || got != (bitwardenclient.Secret{}) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Get with %s as the value = %+v, %v", what, got, err)
		}
	}
}

func TestABrokenAnswerIsAnError(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	id := s.Add(bitwardentest.Secret{Key: "ana", Value: "x"})
	good, foreign := s.Encrypt("x"), bitwardentest.New(bitwardentest.Options{}).Encrypt("x")
	calls := map[bitwardentest.Route]func() error{
		bitwardentest.Get:    func() error { _, err := secrets.Get(t.Context(), id); return err },
		bitwardentest.List:   func() error { _, err := secrets.List(t.Context(), ""); return err },
		bitwardentest.Create: func() error { _, err := secrets.Create(t.Context(), bitwardenclient.Secret{Key: "x"}); return err },
		bitwardentest.Update: func() error { _, err := secrets.Update(t.Context(), bitwardenclient.Secret{ID: id}); return err },
		bitwardentest.Delete: func() error { return secrets.Delete(t.Context(), id) },
	}
	for _, c := range []struct {
		route bitwardentest.Route
		body  string
		want  error // nil: any
	}{
		{bitwardentest.Create, `{}`, nil},
		{bitwardentest.Update, `{}`, nil},
		{bitwardentest.Update, `{"id":"` + id + `"}`, nil},
		{bitwardentest.Update, `{"revisionDate":"2026-01-02T03:04:05Z"}`, nil},
		{bitwardentest.Get, `{}`, core.ErrDecrypt},
		{bitwardentest.Get, `{"key":"` + foreign + `","value":"` + good + `","note":"` + good + `"}`, core.ErrDecrypt},
		{bitwardentest.Get, `{"key":"` + good + `","value":"` + good + `","note":"` + foreign + `"}`, core.ErrDecrypt},
		{bitwardentest.List, `{"secrets":[{"key":"` + foreign + `"}]}`, core.ErrDecrypt},
		{bitwardentest.Get, `null and more`, nil},
		{bitwardentest.List, `[]`, nil},
		{bitwardentest.Create, ` `, nil},
		{bitwardentest.Delete, `[]`, nil},
	} {
		s.Inject(c.route, bitwardentest.Fault{Status: 200, Body: c.body})
		if err := calls[c.route](); err == nil || errors.Is(err, core.ErrNotFound) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s answered with %s: %v, want %v", c.route, c.body, err, c.want)
		}
	}
	// An id is part of a path.
	if _, err := secrets.List(t.Context(), "../../secrets"); err == nil || s.Counts()[bitwardentest.List] != 2 {
		t.Errorf("List of what is no organization = %v", err)
	}
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	o := inProcess(s)
	inner := o.HTTPClient.Transport
	endless, body := false, zeros(0)
	o.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if endless {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(&body)}, nil
		}
		return inner.RoundTrip(r)
	})}
	secrets := logIn(t, s, o)
	endless = true
	if _, err := secrets.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "longer than") || body > 70<<20 {
		t.Errorf("List of an endless answer = %v, after %d bytes", err, body)
	}
}

// zeros is a reader that says how much was read.
type zeros int

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	*z += zeros(len(p))
	return len(p), nil
}

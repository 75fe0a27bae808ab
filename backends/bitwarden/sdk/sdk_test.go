//go:build cgo

package sdk_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	official "github.com/bitwarden/sdk-go"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/bitwarden/sdk"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// at are the options to log in to s.
func at(s *bitwardentest.Server, stateFile string) sdk.LoginOptions {
	return sdk.LoginOptions{APIURL: s.APIURL(), IdentityURL: s.IdentityURL(), StateFile: stateFile}
}

type tb interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// login returns the official SDK's client.
func login(t tb, s *bitwardentest.Server, stateFile string) *sdk.Client {
	t.Helper()
	client, err := sdk.Login(t.Context(), s.AccessToken(), at(s, stateFile))
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// pure returns the client in pure Go.
func pure(t tb, s *bitwardentest.Server, stateFile string) bitwarden.Secrets {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CertPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	secrets, err := bitwarden.Login(t.Context(), s.AccessToken(), bitwarden.LoginOptions{
		APIURL: s.APIURL(), IdentityURL: s.IdentityURL(), StateFile: stateFile, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return secrets
}

func newBackend(t tb, s *bitwardentest.Server, secrets bitwarden.Secrets) *bitwarden.Backend {
	t.Helper()
	b, err := bitwarden.New(secrets, bitwarden.Options{OrganizationID: s.Organization(), ProjectID: s.Project()})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func stateFile(t *testing.T) string { return filepath.Join(t.TempDir(), "state") }

func wantLogins(t *testing.T, s *bitwardentest.Server, want int) {
	t.Helper()
	if got := s.Counts()[bitwardentest.Login]; got != want {
		t.Errorf("there were %d logins, want %d", got, want)
	}
}

func mustGet(t *testing.T, secrets bitwarden.Secrets, id string) bitwarden.Secret {
	t.Helper()
	got, err := secrets.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestOneLoginPerLifeOfTheStateFile(t *testing.T) {
	// A second login would be one too many.
	s := bitwardentest.Start(t, bitwardentest.Options{LoginsPerMinute: 1})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	file := stateFile(t)
	for range 3 {
		mustGet(t, login(t, s, file), id)
	}
	wantLogins(t, s, 1)
	// The client in pure Go understands the file.
	mustGet(t, pure(t, s, file), id)
	wantLogins(t, s, 1)

	_, err := sdk.Login(t.Context(), s.AccessToken(), at(s, ""))
	if err == nil || !strings.Contains(err.Error(), "429 Too Many Requests") {
		t.Errorf("without the file, %v", err)
	}
}

func TestTheSDKAndThePureGoClientShareAStateFile(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{LoginsPerMinute: 1})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	file := stateFile(t)
	mustGet(t, pure(t, s, file), id)
	mustGet(t, login(t, s, file), id)
	wantLogins(t, s, 1)
}

func TestTheStateFileIsItsOwnersAlone(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	file := stateFile(t)
	login(t, s, file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("the file has the mode %v and %d bytes", info.Mode(), info.Size())
	}

	s.ResetCounts()
	if _, err := sdk.Login(t.Context(), s.AccessToken(), at(s, filepath.Join(t.TempDir(), "missing", "state"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("where it can't be written: %v", err)
	}
	wantLogins(t, s, 0)
}

func TestABrokenStateFileIsReplaced(t *testing.T) {
	two := time.Now().Add(-2 * time.Hour)
	past := bitwardentest.Start(t, bitwardentest.Options{Clock: func() time.Time { return two }})
	expired := stateFile(t)
	login(t, past, expired)
	login(t, past, expired)
	wantLogins(t, past, 2)

	s := bitwardentest.Start(t, bitwardentest.Options{})
	damaged := stateFile(t)
	if err := os.WriteFile(damaged, []byte("2.torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	login(t, s, damaged)
	login(t, s, damaged)
	wantLogins(t, s, 1)
}

func TestAWrongAccessTokenIsAnError(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	head, seed, _ := strings.Cut(s.AccessToken(), ":")
	secret := head[strings.LastIndex(head, ".")+1:]
	for what, c := range map[string]struct{ token, says string }{
		"of a wrong secret": {head + "x:" + seed, "invalid_client"},
		"of a wrong key":    {head + ":AAAAAAAAAAAAAAAAAAAAAA==", "MAC"},
		"cut short":         {head, "decryption key"},
		"empty":             {"", "decryption key"},
	} {
		client, err := sdk.Login(t.Context(), c.token, at(s, ""))
		if client != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		} else if text := err.Error(); strings.Contains(text, secret) || strings.Contains(text, seed) {
			t.Errorf("%s: the error shows the token: %v", what, err)
		}
		if known := (*core.Error)(nil); !errors.As(err, &known) || known.Op != "login" {
			t.Errorf("%s: %#v", what, err)
		}
	}
	s.Revoke(s.AccessToken())
	if _, err := sdk.Login(t.Context(), s.AccessToken(), at(s, "")); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("a revoked one: %v", err)
	}
}

func TestALoginIsRenewedBeforeItsEnd(t *testing.T) {
	// The SDK renews five minutes before the end: of a login for four, with every call.
	s := bitwardentest.Start(t, bitwardentest.Options{Lifetime: 4 * time.Minute})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	file := stateFile(t)
	client := login(t, s, file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mustGet(t, client, id)
	wantLogins(t, s, 2)
	if after, err := os.ReadFile(file); err != nil || string(after) == string(before) {
		t.Errorf("the state file still has the first login: %v", err)
	}
}

func TestALoginThatTheServerEndsEarlyIsRenewed(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	for what, file := range map[string]string{"with a state file": stateFile(t), "without": ""} {
		t.Run(what, func(t *testing.T) {
			s.ResetCounts()
			client := login(t, s, file)
			s.ExpireBearers()
			if got := mustGet(t, client, id); got.Value != "value" {
				t.Errorf("got %+v", got)
			}
			mustGet(t, client, id)
			wantLogins(t, s, 2)

			// One that can't be had again is an error, and not that nothing is there.
			s.ExpireBearers()
			s.Inject(bitwardentest.Login, bitwardentest.Unavailable())
			if _, err := client.Get(t.Context(), id); err == nil || errors.Is(err, core.ErrNotFound) || !strings.Contains(err.Error(), "401") {
				t.Errorf("without another login: %v", err)
			}
			mustGet(t, client, id)
		})
	}
}

func TestProcessesThatShareAStateFileLogInOnceMore(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	file := stateFile(t)
	clients := []bitwarden.Secrets{login(t, s, file), login(t, s, file), pure(t, s, file)}
	s.ExpireBearers()
	for _, client := range clients {
		mustGet(t, client, id)
	}
	wantLogins(t, s, 2)
}

// FromSDK takes what the SDK's own client has, for those who have one.
func TestTheSDKsOwnClientIsReachable(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	apiURL, identityURL := s.APIURL(), s.IdentityURL()
	client, err := official.NewBitwardenClient(&apiURL, &identityURL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.AccessTokenLogin(s.AccessToken(), nil); err != nil {
		t.Fatal(err)
	}
	b := newBackend(t, s, bitwarden.FromSDK(client.Secrets()))
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("x"), Version: core.AnyVersion}); err != nil {
		t.Fatal(err)
	}
	s.ExpireBearers()
	if _, err := b.Load(t.Context(), "k"); err == nil || errors.Is(err, core.ErrNotFound) || !strings.Contains(err.Error(), "[401 Unauthorized]") {
		t.Errorf("when its login is refused: %v", err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	client := login(t, s, "")
	for what, c := range map[string]struct {
		route bitwardentest.Route
		call  func(context.Context) error
	}{
		"get":    {bitwardentest.Get, func(ctx context.Context) error { _, err := client.Get(ctx, id); return err }},
		"list":   {bitwardentest.List, func(ctx context.Context) error { _, err := client.List(ctx, s.Organization()); return err }},
		"delete": {bitwardentest.Delete, func(ctx context.Context) error { return client.Delete(ctx, "00000000-0000-4000-8000-000000000000") }},
		"login": {bitwardentest.Login, func(ctx context.Context) error {
			_, err := sdk.Login(ctx, s.AccessToken(), at(s, ""))
			return err
		}},
	} {
		t.Run(what, func(t *testing.T) {
			s.ResetCounts()
			release := make(chan struct{})
			defer close(release)
			s.Inject(c.route, bitwardentest.Fault{Hold: release})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.call(ctx) }()
			if err := s.Await(t.Context(), c.route, 1); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("it answered %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.ResetCounts()
	if _, err := sdk.Login(ctx, s.AccessToken(), at(s, "")); !errors.Is(err, context.Canceled) || s.Counts().Total() != 0 {
		t.Errorf("a login that was over before it began: %v, %v", err, s.Counts())
	}
}

func TestCloseWhileACallIsUnderWay(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "value"})
	client := login(t, s, "")
	release := make(chan struct{})
	s.Inject(bitwardentest.Get, bitwardentest.Fault{Hold: release})
	done := make(chan error, 1)
	go func() {
		_, err := client.Get(t.Context(), id)
		done <- err
	}()
	if err := s.Await(t.Context(), bitwardentest.Get, 1); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := client.Get(t.Context(), id); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a call afterwards: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestManyCallersMayUseOneClient(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	client := login(t, s, "")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				created, err := client.Create(t.Context(), bitwarden.Secret{Key: "k", Value: "v", OrganizationID: s.Organization(), ProjectID: s.Project()})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := client.Get(t.Context(), created.ID); err != nil || got.Value != "v" {
					t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.Secrets()); n != 40 {
		t.Errorf("%d secrets were made", n)
	}
}

func TestTheServersErrorReachesTheCaller(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	b := newBackend(t, s, login(t, s, ""))
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("before"), Version: core.Absent}); err != nil {
		t.Fatal(err)
	}
	id := s.Secrets()[0].ID
	for what, c := range map[string]struct {
		fault bitwardentest.Fault
		says  string
	}{
		"429":               {bitwardentest.Throttled(time.Minute), "[429 Too Many Requests]"},
		"503":               {bitwardentest.Unavailable(), "[503 Service Unavailable]"},
		"500":               {bitwardentest.Fault{Status: 500}, "[500 Internal Server Error]"},
		"a cut connection":  {bitwardentest.Fault{Drop: true}, "error sending request"},
		"no JSON":           {bitwardentest.Fault{Status: 200, Body: "<html>"}, ""},
		"another's refusal": {bitwardentest.Fault{Status: 403, Body: "<html>"}, "[403 Forbidden]"},
	} {
		t.Run(what, func(t *testing.T) {
			// Some of the calls make several requests.
			s.OnRequest(func(bitwardentest.Route) bitwardentest.Fault { return c.fault })
			defer s.OnRequest(nil)
			for op, call := range map[string]func() error{
				"load": func() error { _, err := b.Load(t.Context(), "k"); return err },
				"save": func() error {
					_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("after"), Version: core.AnyVersion})
					return err
				},
				"check":  func() error { _, err := b.Check(t.Context(), "k"); return err },
				"delete": func() error { return b.Delete(t.Context(), "k") },
			} {
				err := call()
				if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "after") {
					t.Errorf("%s answered %v", op, err)
				}
				for _, other := range []error{core.ErrNotFound, core.ErrConflict, core.ErrCorrupt, core.ErrDecrypt} {
					if errors.Is(err, other) {
						t.Errorf("%s answered %v", op, err)
					}
				}
			}
		})
	}
	if got := s.Secrets(); len(got) != 1 || got[0].Value != "before" {
		t.Errorf("stored is %+v", got)
	}

	sealed := s.Encrypted(id)
	for what, value := range map[string]string{
		"of another organization": bitwardentest.New(bitwardentest.Options{}).Encrypt("x"),
		"cut short":               sealed[:len(sealed)-20],
		"empty":                   "",
	} {
		s.SetEncrypted(id, value)
		if _, err := b.Load(t.Context(), "k"); !errors.Is(err, core.ErrDecrypt) {
			t.Errorf("a value %s: %v", what, err)
		}
	}
}

func TestNeitherClientPrintsASecret(t *testing.T) {
	s := bitwardentest.Start(t, bitwardentest.Options{})
	id := s.Add(bitwardentest.Secret{Key: "name", Value: "hunter2", Note: "hunter3"})
	client := login(t, s, "")
	for _, value := range []any{mustGet(t, client, id), mustGet(t, pure(t, s, ""), id), tokencache.Secret("hunter2")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "hunter") {
				t.Errorf("%s of %T shows %s", verb, value, text)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, client); strings.Contains(text, s.AccessToken()) {
			t.Errorf("%s of the client shows the access token", verb)
		}
	}
}

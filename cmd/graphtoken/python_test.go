package main_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// refreshInPython is a program on python-o365's file backend and MSAL Python.
const refreshInPython = `
import sys, msal
from O365.utils.token import FileSystemTokenBackend
directory, name, client, user = sys.argv[1:]
backend = FileSystemTokenBackend(token_path=directory, token_filename=name)
assert backend.load_token(), "no token in the file"
app = msal.PublicClientApplication(client, authority="https://login.microsoftonline.com/common", token_cache=backend)
account, = app.get_accounts(username=user)
answer = app.acquire_token_silent_with_error(["User.Read", "Mail.Read"], account, force_refresh=True)
assert answer and "access_token" in answer, (answer or {}).get("error_description", "no answer")
assert backend.save_token(force=True), "not saved"
`

// The same file, refreshed in turns, with refresh tokens that are good once.
func TestPythonO365SharesTheFile(t *testing.T) {
	python := peer.Python(t)
	w := newWorld(t)
	w.beMicrosoft()
	w.login(ana, "--tenant", "organizations")
	w.login(bo)
	for range 3 {
		before := w.ok("token", "--user", ana)
		cmd := exec.CommandContext(w.ctx, python, "-c", refreshInPython, filepath.Dir(w.file()), filepath.Base(w.file()), entra.PublicClient, ana)
		cmd.Env = append(w.env, "REQUESTS_CA_BUNDLE="+filepath.Join(w.dir, "ca.pem"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("python: %v\n%s", err, out)
		}
		w.remembers("graphtoken_scopes_", "graphtoken_authority_")
		if after := w.ok("token", "--user", ana); after == before {
			t.Error("the token that Python obtained is not found")
		}
		w.ok("refresh", "--user", ana)
		w.expire(tokencache.Query{Username: ana})
		w.ok("token", "--user", ana)
	}
	w.ok("token", "--user", bo)
	if g := w.idp.Grants(); g.ReuseDetected != 0 {
		t.Errorf("%d spent tokens were presented", g.ReuseDetected)
	}
}

// refreshApplicationInPython is the same for an application.
const refreshApplicationInPython = `
import os, sys, msal
from O365.utils.token import FileSystemTokenBackend
directory, name, client, tenant = sys.argv[1:]
backend = FileSystemTokenBackend(token_path=directory, token_filename=name)
assert backend.load_token(), "no token in the file"
app = msal.ConfidentialClientApplication(client, os.environ["GRAPHTOKEN_CLIENT_SECRET"], authority="https://login.microsoftonline.com/" + tenant, token_cache=backend)
answer = app.acquire_token_for_client(["https://vault.azure.net/.default"])
assert answer and "access_token" in answer, (answer or {}).get("error_description", "no answer")
assert backend.save_token(force=True), "not saved"
`

func TestPythonO365KeepsAnApplicationsOptions(t *testing.T) {
	python := peer.Python(t)
	w := newWorld(t)
	w.beMicrosoft()
	w.set("GRAPHTOKEN_CLIENT_SECRET=" + entra.ConfidentialSecret)
	w.ok("login", "--client-credentials", "--client-id", entra.ConfidentialClient, "--tenant", entra.Tenant)
	first := w.ok("token")
	w.remembers("graphtoken_scopes", "graphtoken_authority")
	cmd := exec.CommandContext(w.ctx, python, "-c", refreshApplicationInPython, filepath.Dir(w.file()), filepath.Base(w.file()), entra.ConfidentialClient, entra.Tenant)
	cmd.Env = append(w.env, "REQUESTS_CA_BUNDLE="+filepath.Join(w.dir, "ca.pem"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	w.remembers("graphtoken_scopes", "graphtoken_authority")
	if w.ok("token") != first {
		t.Error("Python's token for another resource is the default now")
	}
	w.ok("refresh")
}

// remembers says that the record has these fields.
func (w *world) remembers(fields ...string) {
	w.t.Helper()
	data, err := os.ReadFile(w.file())
	for _, field := range fields {
		if err != nil || !strings.Contains(string(data), field) {
			w.t.Errorf("the field %s is gone from the record (%v)", field, err)
		}
	}
}

func TestMicrosoftsOwnHostWithInstanceDiscovery(t *testing.T) {
	w := newWorld(t)
	w.beMicrosoft()
	if r := w.login(ana); r.code != 0 {
		t.Fatal(r.err)
	}
	first := w.ok("token")
	w.expire(tokencache.Query{Username: ana})
	if w.ok("token") == first {
		t.Error("the expired token was printed")
	}
}

// beMicrosoft makes the imitation answer as login.microsoftonline.com, through a
// proxy that knows no other way.
func (w *world) beMicrosoft() {
	w.t.Helper()
	proxy := httptest.NewServer(w.idp.Proxy())
	w.t.Cleanup(proxy.Close)
	w.set("GRAPHTOKEN_AUTHORITY=", "HTTPS_PROXY="+proxy.URL, "https_proxy="+proxy.URL)
}

package main_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// before21 is a program on python-o365 2.0: it signs in, refreshes, or shows its token.
const before21 = `
import os, sys
from O365 import Account, FileSystemTokenBackend, __version__
assert __version__.startswith("2.0."), __version__
os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"
directory, client, do = sys.argv[1:]
account = Account((client, ), auth_flow_type="public", tenant_id="common", token_backend=FileSystemTokenBackend(token_path=directory))
if do == "sign in":
    url, state = account.con.get_authorization_url(requested_scopes=["offline_access", "https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.Read"])
    print(url, flush=True)
    assert account.con.request_token(sys.stdin.readline().strip(), state=state), "no token"
elif do == "refresh":
    assert account.con.refresh_token(), "not refreshed"
token = account.con.token_backend.get_token()
assert account.is_authenticated and not token.is_access_expired and token.is_long_lived
print(token["access_token"])
`

// python runs a program in Python, with the imitation as Microsoft. A line with an address
// is signed in at.
func (w *world) python(cmd *exec.Cmd) string {
	w.t.Helper()
	cmd.Env = append(cmd.Environ(), w.env...)
	cmd.Env = append(cmd.Env, "REQUESTS_CA_BUNDLE="+filepath.Join(w.dir, "ca.pem"))
	var errs strings.Builder
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	var line string
	for {
		if _, err := fmt.Fscanln(stdout, &line); err != nil {
			break
		}
		if strings.HasPrefix(line, "https://") {
			back, err := w.idp.SignInAs(ana, line)
			if err != nil {
				w.t.Error(err)
			}
			_, _ = fmt.Fprintln(stdin, back)
		}
	}
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("python: %v\n%s", err, errs.String())
	}
	w.mu.Lock()
	w.secrets[line] = true
	w.mu.Unlock()
	return line
}

// A token goes from python-o365 2.0 to the store, and back. Refresh tokens are good once.
func TestATokenOfPythonO365Before21IsImportedAndExported(t *testing.T) {
	python, path := peer.PythonBefore21(t)
	w := newWorld(t)
	w.beMicrosoft()
	run := func(directory, do string) string {
		t.Helper()
		cmd := exec.CommandContext(w.ctx, python, "-c", before21, directory, entra.PublicClient, do)
		cmd.Env = append(cmd.Environ(), "PYTHONPATH="+path)
		return w.python(cmd)
	}
	from, to := filepath.Join(w.dir, "from"), filepath.Join(w.dir, "to")
	token := run(from, "sign in")

	w.wantImports(map[string]string{ana: "added"}, from+"/")
	if got := w.ok("token"); got != token {
		t.Error("another token is printed than python-o365 obtained")
	}
	w.expire(tokencache.Query{Username: ana})
	refreshed := w.ok("token")
	if refreshed == token {
		t.Error("the expired token is printed")
	}

	w.ok("export", to+"/", "--format", "python-o365-2.0")
	if got := run(to, "show"); got != refreshed {
		t.Error("python-o365 2.0 finds another token than the exported one")
	}
	w.idp.SetLifetime(2 * time.Hour) // of two tokens of one second, the longer-lived one counts
	again := run(to, "refresh")
	w.wantImports(map[string]string{ana: "updated"}, to+"/")
	if got := w.ok("token"); got != again {
		t.Error("the newer token of python-o365 2.0 isn't printed")
	}
	if g := w.idp.Grants(); g.ReuseDetected != 0 || g.RefreshesSucceeded != 2 {
		t.Errorf("%d refreshes, and %d tokens were sent again", g.RefreshesSucceeded, g.ReuseDetected)
	}
}

// persisted is a program that keeps its tokens as azure-cli does: in the file of MSAL's
// extensions for Python (identity.py of azure-cli: build_persistence), not encrypted.
const persisted = `
import sys, msal
from msal_extensions import FilePersistence, PersistedTokenCache
path, client, user, refresh = sys.argv[1:]
app = msal.PublicClientApplication(client, authority="https://login.microsoftonline.com/common", token_cache=PersistedTokenCache(FilePersistence(path)))
if user == "-":
    flow = app.initiate_auth_code_flow(["User.Read", "Mail.Read"], redirect_uri="https://login.microsoftonline.com/common/oauth2/nativeclient")
    print(flow["auth_uri"], flush=True)
    from urllib.parse import urlparse, parse_qsl
    answer = app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlparse(sys.stdin.readline().strip()).query)))
else:
    account, = app.get_accounts(username=user)
    answer = app.acquire_token_silent_with_error(["User.Read", "Mail.Read"], account, force_refresh=refresh == "refresh")
assert answer and "access_token" in answer, answer
print(answer["access_token"])
`

func TestATokenOfAzureCLIsKindOfFileIsImportedAndExported(t *testing.T) {
	python := peer.Python(t)
	w := newWorld(t)
	w.beMicrosoft()
	run := func(file, user, refresh string) string {
		t.Helper()
		return w.python(exec.CommandContext(w.ctx, python, "-c", persisted, file, entra.PublicClient, user, refresh))
	}
	from, to := filepath.Join(w.dir, "azure", "msal_token_cache.json"), filepath.Join(w.dir, "to", "msal_token_cache.json")
	token := run(from, "-", "")
	w.wantImports(map[string]string{ana: "added"}, from)
	if got := w.ok("token"); got != token {
		t.Error("another token is printed than MSAL obtained")
	}
	w.ok("refresh")
	refreshed := w.ok("token")
	w.ok("export", to)
	requests := w.idp.Grants().Total.Received
	if got := run(to, ana, ""); got != refreshed || w.idp.Grants().Total.Received != requests {
		t.Error("MSAL doesn't find the exported token")
	}
	w.idp.SetLifetime(2 * time.Hour)
	again := run(to, ana, "refresh")
	w.wantImports(map[string]string{ana: "updated"}, to)
	if got := w.ok("token"); got != again {
		t.Error("MSAL's newer token isn't printed")
	}
	if g := w.idp.Grants(); g.ReuseDetected != 0 {
		t.Errorf("%d tokens were sent again", g.ReuseDetected)
	}
}

// The file goes from the store to python-o365 2.1, which refreshes it, and back.
func TestATokenIsExportedToPythonO365AndImportedFromThere(t *testing.T) {
	python := peer.Python(t)
	w := newWorld(t)
	w.beMicrosoft()
	w.login(ana)
	w.login(bo)
	bos := w.ok("token", "--user", bo)
	to := filepath.Join(w.dir, "to")
	w.ok("export", to+"/", "--user", ana)
	w.idp.SetLifetime(2 * time.Hour)
	w.python(exec.CommandContext(w.ctx, python, "-c", refreshInPython, to, "o365_token.txt", entra.PublicClient, ana))
	before := w.ok("token", "--user", ana)
	w.wantImports(map[string]string{ana: "updated"}, to+"/")
	if got := w.ok("token", "--user", ana); got == before {
		t.Error("the newer token of python-o365 isn't printed")
	}
	w.ok("refresh", "--user", ana)
	if got := w.ok("token", "--user", bo); got != bos {
		t.Error("another user's token changed")
	}
	if g := w.idp.Grants(); g.ReuseDetected != 0 {
		t.Errorf("%d tokens were sent again", g.ReuseDetected)
	}
}

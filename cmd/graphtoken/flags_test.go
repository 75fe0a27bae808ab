package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const (
	microsoft = "login.microsoftonline.com"
	elsewhere = "idp.example.com"
	homeTID   = "11111111-0000-4000-8000-000000000001"
	guestTID  = "22222222-0000-4000-8000-000000000002"
)

// entry is a user's or, without a user, an application's tokens in a record that
// other programs wrote.
type entry struct{ user, environment, realm, client, token string }

func (e entry) home() string {
	if e.user == "" {
		return ""
	}
	return fmt.Sprintf("%x.%s", e.user, homeTID)
}

// hold makes the store's file a record with these tokens, valid for an hour.
func (w *world) hold(entries ...entry) {
	w.t.Helper()
	type section map[string]map[string]any
	access, refresh, accounts := section{}, section{}, section{}
	now := time.Now()
	for _, e := range entries {
		key := strings.Join([]string{e.home(), e.environment, e.client, e.realm}, "|")
		access[key] = map[string]any{
			"credential_type": "AccessToken", "home_account_id": e.home(), "environment": e.environment, "realm": e.realm,
			"client_id": e.client, "secret": "token-of-" + e.token, "target": "User.Read", "token_type": "Bearer",
			"cached_at": fmt.Sprint(now.Unix()), "expires_on": fmt.Sprint(now.Add(time.Hour).Unix()),
		}
		w.secrets["token-of-"+e.token] = true
		if e.user == "" {
			continue
		}
		refresh[key] = map[string]any{
			"credential_type": "RefreshToken", "home_account_id": e.home(), "environment": e.environment,
			"client_id": e.client, "secret": "refresh-token-of-" + e.token, "target": "User.Read",
		}
		accounts[key] = map[string]any{
			"home_account_id": e.home(), "environment": e.environment, "realm": e.realm, "username": e.user,
			"authority_type": "MSSTS", "local_account_id": "x",
		}
	}
	data, err := json.Marshal(map[string]any{"AccessToken": access, "RefreshToken": refresh, "IdToken": section{}, "Account": accounts, "AppMetadata": section{}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.holdData(data)
}

func (w *world) holdData(data []byte) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.file()), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.file(), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func TestATokenIsOneOfTheTenantThatIsNamed(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(
		entry{ana, microsoft, homeTID, "app", "home"},
		entry{ana, microsoft, guestTID, "app", "guest"},
	)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "token-of-home"},
		{[]string{"--tenant", homeTID}, "token-of-home"},
		{[]string{"--tenant", guestTID}, "token-of-guest"},
		{[]string{"--authority", "https://login.windows.net/" + guestTID}, "token-of-guest"},
		{[]string{"--authority", "https://login.microsoftonline.com/common"}, "token-of-home"},
	} {
		if got := w.ok(append([]string{"token"}, c.args...)...); got != c.want {
			t.Errorf("token %v prints %s, want %s", c.args, got, c.want)
		}
	}
	if status := w.ok("status", "--tenant", guestTID); !strings.Contains(status, guestTID) || strings.Contains(status, homeTID) {
		t.Errorf("the status of one tenant is\n%s", status)
	}
	if r := w.fails(2, "logout", "--tenant", guestTID); !strings.Contains(r.err, "--tenant") {
		t.Errorf("the way out isn't told: %s", r.err)
	}
	w.ok("logout")
}

func TestATenantThatIsNamedIsAskedForARefresh(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=" + w.idp.URL())
	w.login(ana)
	w.ok("refresh", "--tenant", entra.Tenant)
	log := w.idp.Grants().Log
	if got := log[len(log)-1].Tenant; got != entra.Tenant {
		t.Errorf("the tenant %s was asked, want %s", got, entra.Tenant)
	}
}

func TestATokenIsOneOfTheProviderThatIsNamed(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(
		entry{ana, microsoft, "common", "app", "microsoft"},
		entry{ana, elsewhere, "common", "app", "elsewhere"},
	)
	for args, want := range map[string]string{
		"":                                 "token-of-microsoft", // as the help of --authority says
		"https://login.windows.net/common": "token-of-microsoft",
		"https://" + elsewhere + "/common": "token-of-elsewhere",
		"https://IDP.Example.com":          "token-of-elsewhere",
	} {
		if got := w.ok("token", "--authority", args); got != want {
			t.Errorf("token --authority %s prints %s, want %s", args, got, want)
		}
	}
	for _, args := range [][]string{nil, {"--client-id", "app"}, {"--user", ana}} {
		r := w.fails(3, append([]string{"token", "--authority", "https://third.example/common"}, args...)...)
		if !strings.Contains(r.err, "--authority") || !strings.Contains(r.err, elsewhere) || r.out != "" {
			t.Errorf("token of a third provider: %s", r.err)
		}
	}
	if status := w.ok("status", "--json", "--authority", "https://"+elsewhere+"/common"); strings.Contains(status, microsoft) {
		t.Errorf("the status of one provider is\n%s", status)
	}
	if r := w.fails(3, "logout"); !strings.Contains(r.err, "--authority") || !strings.Contains(r.err, elsewhere) {
		t.Errorf("logout of one of two providers: %s", r.err)
	}
	w.ok("logout", "--authority", "https://"+elsewhere)
	if status := w.ok("status", "--json"); strings.Contains(status, elsewhere) || !strings.Contains(status, microsoft) {
		t.Errorf("after the logout at one provider:\n%s", status)
	}
}

func TestTheFlagsThatChooseAreNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []entry
		args    []string
		want    []string
		not     string
	}{
		{"two users of one provider", []entry{{ana, microsoft, "common", "app", "a"}, {bo, microsoft, "common", "app", "b"}}, []string{"token"}, []string{"--user", ana, bo}, "--authority"},
		{"one user of two providers", []entry{{ana, microsoft, "common", "app", "a"}, {ana, elsewhere, "common", "app", "b"}}, []string{"logout"}, []string{"--authority", microsoft, elsewhere}, "--user"},
		{"two users of two providers", []entry{{ana, microsoft, "common", "app", "a"}, {bo, elsewhere, "common", "app", "b"}}, []string{"logout"}, []string{"--user and --authority", ana, elsewhere}, "nobody"},
		{"an application at two providers", []entry{{"", microsoft, "t", "app", "a"}, {"", elsewhere, "t", "app", "b"}}, []string{"logout", "--client-credentials"}, []string{"--authority", elsewhere}, "--user"},
		{"a user of another provider than Microsoft", []entry{{ana, elsewhere, "common", "app", "a"}}, []string{"token"}, []string{"--authority", elsewhere}, "graphtoken login"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.set("GRAPHTOKEN_AUTHORITY=")
			w.hold(c.entries...)
			r := w.fails(3, c.args...)
			shows(t, fmt.Sprint(c.args), r.err, c.want...)
			if strings.Contains(r.err, c.not) {
				t.Errorf("%v names %s: %s", c.args, c.not, r.err)
			}
		})
	}
}

func TestEveryApplicationAndProviderIsInTheStatus(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(
		entry{"", microsoft, "t", "app-1", "a"}, entry{"", elsewhere, "t", "app-1", "b"}, entry{"", elsewhere, "t", "app-2", "c"},
		entry{ana, microsoft, "common", "app-3", "d"},
	)
	for _, c := range []struct {
		args []string
		want int
	}{
		{nil, 4},
		{[]string{"--client-id", "APP-1"}, 2},
		{[]string{"--client-id", "app-3"}, 1},
		{[]string{"--authority", "https://" + elsewhere + "/t"}, 2},
		{[]string{"--user", ana}, 1},
		{[]string{"--client-credentials"}, 3},
	} {
		var report struct{ Accounts []any }
		if err := json.Unmarshal([]byte(w.ok(append([]string{"status", "--json"}, c.args...)...)), &report); err != nil {
			t.Fatal(err)
		}
		if len(report.Accounts) != c.want {
			t.Errorf("status %v shows %d, want %d: %v", c.args, len(report.Accounts), c.want, report.Accounts)
		}
	}
	w.fails(3, "status", "--client-id", "app-4")
	w.fails(2, "status", "--client-credentials", "--user", ana)
	w.fails(3, "status", "--user", ana, "--client-id", "app-1")
}

func TestLogoutSignsOutOfEveryApplication(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(entry{ana, microsoft, "common", "app-1", "a"}, entry{ana, microsoft, "common", "app-2", "b"}, entry{bo, microsoft, "common", "app-1", "c"})
	w.fails(3, "logout", "--user", ana, "--client-id", "app-3")
	if r := w.fails(2, "logout", "--user", ana, "--client-id", "app-1"); !strings.Contains(r.err, "--client-id") {
		t.Errorf("the way out isn't told: %s", r.err)
	}
	w.ok("logout", "--user", bo, "--client-id", "APP-1") // all that there is of Bo's
	w.ok("logout", "--user", ana)
	w.fails(3, "status")
}

func TestALoginTakesTheApplicationOfTheSameProvider(t *testing.T) {
	w := newWorld(t)
	w.hold(entry{bo, microsoft, "common", "app-of-microsoft", "a"})
	if r := w.fails(2, "login"); !strings.Contains(r.err, "--client-id") {
		t.Errorf("login without an application: %s", r.err)
	}
	w.login(ana)
	p := w.start("login")
	if address := p.line(t, "https://"); !strings.Contains(address, entra.PublicClient) {
		t.Errorf("the address is %s", address)
	}
	p.stdin.Close()
	p.end(w)
}

func TestScopesGivenAsOneTextAreSplit(t *testing.T) {
	for _, text := range []string{"User.Read Mail.Read", "User.Read, Mail.Read", " User.Read\tMail.Read ,", " "} {
		for _, variable := range []bool{false, true} {
			w := newWorld(t)
			args := []string{"--scope", text}
			if variable {
				args = nil
				w.set("GRAPHTOKEN_SCOPE=" + text)
			}
			p := w.start(append([]string{"login", "--client-id", entra.PublicClient}, args...)...)
			redirect, err := w.idp.SignInAs(ana, p.line(t, "https://"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(p.stdin, redirect)
			if r := p.end(w); r.code != 0 {
				t.Fatalf("%q: login: %s", text, r.err)
			}
			first := w.ok(append([]string{"token"}, args...)...)
			if again := w.ok(append([]string{"token"}, args...)...); again != first {
				t.Errorf("%q: a valid token was replaced", text)
			}
			if n := w.idp.Grants().RefreshesSucceeded; n != 0 {
				t.Errorf("%q: %d refreshes while the token was valid", text, n)
			}
			w.expire(tokencache.Query{Username: ana})
			w.ok(append([]string{"token"}, args...)...)
		}
	}
}

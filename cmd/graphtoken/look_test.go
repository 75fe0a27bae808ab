package main_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestListShowsEachRecordAndWhyOneCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	dir := filepath.Dir(w.file())
	keyFile, _ := newKeyFile(t, w)
	if r := w.login(bo, "--store", "file:"+dir+"/#bo", "--key-file", keyFile); r.code != 0 {
		t.Fatal(r.err)
	}
	for name, text := range map[string]string{"old": `{"access_token":"x","refresh_token":"y","token_type":"Bearer"}`, "torn": `{"AccessToken": {`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var listing struct {
		Records []struct {
			Name, State string
			Accounts    []struct{ Username string }
		}
	}
	if err := json.Unmarshal([]byte(w.ok("list", "--json", "--store", "file:"+dir+"/")), &listing); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, r := range listing.Records {
		states[r.Name] = r.State
		if r.Name == "tokens.json" && (len(r.Accounts) != 1 || r.Accounts[0].Username != ana) {
			t.Errorf("the users of tokens.json are %+v", r.Accounts)
		}
	}
	for name, want := range map[string]string{"tokens.json": "good", "bo": "encrypted with another key", "old": "of python-o365 before 2.1", "torn": "broken"} {
		if states[name] != want {
			t.Errorf("the record %s is %q, want %q", name, states[name], want)
		}
	}
	if table := w.ok("list", "--store", "file:"+dir+"/"); !strings.Contains(table, ana) || !strings.Contains(table, "(broken)") {
		t.Errorf("the table is\n%s", table)
	}
	if names := w.ok("list", "--names"); names != "tokens.json" {
		t.Errorf("a URL that names a file lists %q", names)
	}
	w.fails(3, "list", "--store", "file:"+filepath.Join(w.dir, "absent")+"/")
	w.fails(5, "list", "--store", "sqlite://"+filepath.Join(w.dir, "absent.db"))
}

func TestListTellsAMissingKeyFromARecordThatWasAlteredOrIsPlain(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "encrypted")
	keyFile, _ := newKeyFile(t, w)
	store := "file:" + dir + "/"
	if r := w.login(ana, "--store", store+"#ana", "--key-file", keyFile); r.code != 0 {
		t.Fatal(r.err)
	}
	stored, err := os.ReadFile(filepath.Join(dir, "ana"))
	if err != nil {
		t.Fatal(err)
	}
	foreign := append([]byte("graphtoken:3:0123456789abcdef:"), stored[30:]...)
	for name, data := range map[string][]byte{"edited": append(stored, '\n'), "moved": stored, "foreign": foreign, "plain": []byte(`{"AccessToken":{}}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var listing struct {
		Records []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(w.ok("list", "--json", "--store", store, "--key-file", keyFile)), &listing); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, r := range listing.Records {
		states[r.Name] = r.State
	}
	want := map[string]string{
		"ana": "good", "edited": "can't be decrypted", "moved": "can't be decrypted", "foreign": "encrypted with another key", "plain": "not encrypted",
	}
	if !maps.Equal(states, want) {
		t.Errorf("the states are %v, want %v", states, want)
	}
}

func TestWhoamiAsksGraphAndSendsTheTokenNowhereElse(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	graph := strings.TrimSuffix(w.idp.Authority(""), "/")
	if got := w.ok("whoami", "--graph", graph); !strings.Contains(got, "user: "+ana) {
		t.Errorf("whoami shows %q", got)
	}
	var me struct{ UserPrincipalName string }
	if err := json.Unmarshal([]byte(w.ok("whoami", "--json", "--graph", graph)), &me); err != nil || me.UserPrincipalName != ana {
		t.Errorf("whoami --json shows %+v, %v", me, err)
	}
	if r := w.fails(2, "whoami"); !strings.Contains(r.err, "--graph") {
		t.Errorf("with another provider, the Graph that gets the token is guessed: %s", r.err)
	}
	w.fails(2, "whoami", "--graph", "http://127.0.0.1:1")
	w.fails(6, "whoami", "--graph", "https://127.0.0.1:1")
}

func TestInspectShowsClaimsAndTimesAndNoSecret(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	var inspection struct {
		Tokens []struct {
			Type, Username string
			Scopes         []string
			ExpiresOn      string `json:"expires_on"`
			Claims         map[string]any
		}
	}
	// The end of each test checks that no secret shows.
	if err := json.Unmarshal([]byte(w.ok("inspect", "--json")), &inspection); err != nil {
		t.Fatal(err)
	}
	types := map[string]int{}
	for _, token := range inspection.Tokens {
		types[token.Type]++
		if token.Username != ana {
			t.Errorf("the %s belongs to %q", token.Type, token.Username)
		}
		if token.Type == "ID token" && token.Claims["preferred_username"] != ana {
			t.Errorf("the ID token's claims are %v", token.Claims)
		}
		if token.Type == "access token" && token.ExpiresOn == "" {
			t.Error("the access token's expiry isn't shown")
		}
	}
	if types["access token"] != 1 || types["refresh token"] == 0 || types["ID token"] != 1 {
		t.Errorf("the tokens are %v", types)
	}
	if text := w.ok("inspect"); !strings.Contains(text, "preferred_username") || !strings.Contains(text, "no signature is checked") {
		t.Errorf("inspect shows\n%s", text)
	}
	w.expire(tokencache.Query{Username: ana})
	w.idp.Revoke(ana)
	w.ok("inspect") // asks nobody
	w.fails(3, "inspect", "--user", bo)
}

func TestHelpExplainsTheStoresAndTheExitCodesAndEachCommand(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"Usage: graphtoken <command>"}},
		{[]string{"help"}, []string{"Usage: graphtoken <command>"}},
		{[]string{"help", "stores"}, []string{"redis+sentinel://", "bitwarden://", "s3://bucket/", "BWS_ACCESS_TOKEN"}},
		{[]string{"help", "exit-codes"}, []string{"130", "has to sign in"}},
		{[]string{"help", "token"}, []string{"Usage: graphtoken token", "--min-validity"}},
		{[]string{"help", "agent", "stop"}, []string{"Usage: graphtoken agent stop"}},
		{[]string{"version"}, []string{"go1."}},
		{[]string{"version", "--json"}, []string{`"go": "go1.`}},
	} {
		got := w.ok(c.args...)
		shows(t, "graphtoken "+strings.Join(c.args, " "), got, c.want...)
	}
	w.fails(2, "help", "dance")
}

// The file of keygen has a comment in its first line.
func TestTheTextOfAKeyFileIsAcceptedInTheVariable(t *testing.T) {
	w := newWorld(t)
	keyFile, _ := newKeyFile(t, w)
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.login(ana, "--key-file", keyFile, "--client-id", entra.PublicClient); r.code != 0 {
		t.Fatal(r.err)
	}
	w.set("GRAPHTOKEN_KEYS=" + string(text))
	w.ok("token")
}

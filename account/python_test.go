package account_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// pythonCase is what second_opinion.py reads.
type pythonCase struct {
	Flow       string   `json:"flow"`
	ClientID   string   `json:"client_id"`
	Authority  string   `json:"authority"`
	Credential any      `json:"credential,omitempty"`
	Scopes     []string `json:"scopes"`
	Username   string   `json:"username,omitempty"`
	Password   string   `json:"password,omitempty"`
	Assertion  string   `json:"assertion,omitempty"`
	Record     string   `json:"record,omitempty"`
	Do         []string `json:"do"`
}

// pythonOutcome is what it prints.
type pythonOutcome struct {
	Own struct {
		Username, Home, Error string
		Scopes                []string
		Codes                 []int
	}
	Refreshed string
	O365      []string
	Failed    string
}

func askPython(t *testing.T, idp *entra.Server, cases []pythonCase) []pythonOutcome {
	t.Helper()
	python := peer.Python(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := idp.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/second_opinion.py")
	cmd.Env = append(os.Environ(), "TESTKIT_ADDR="+idp.Addr(), "REQUESTS_CA_BUNDLE="+ca, "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1")
	var complaints bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &complaints)
	}
	var outcomes []pythonOutcome
	if err := json.Unmarshal(out, &outcomes); err != nil || len(outcomes) != len(cases) {
		t.Fatalf("%d outcomes of %d cases, %v in %q\n%s", len(outcomes), len(cases), err, out, &complaints)
	}
	return outcomes
}

// writeRecord writes a record to a file, as the filesystem backend would.
func writeRecord(t *testing.T, b core.TokenBackend, key string) string {
	t.Helper()
	rec, err := b.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, key, rec.Data)
}

// MSAL Python goes through each flow, too, and then goes on with the record that ours made.
func TestMSALPythonIsOfTheSameOpinion(t *testing.T) {
	peer.Python(t)
	ours := newProof(t)
	idp := startWith(t, ours)
	const microsoft = "https://login.microsoftonline.com/"
	keyPEM, err := x509.MarshalPKCS8PrivateKey(ours.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := map[string]any{"thumbprint": ours.thumbprint(), "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyPEM}))}
	assertion := ours.token(t, "system:serviceaccount:mail:reader")
	caller := api(t, idp, ana)
	graphScopes, appScopes := []string{"https://graph.microsoft.com/User.Read"}, []string{account.DefaultScope}

	type row struct {
		what   string
		cfg    account.Config
		signIn func(*account.App) (*account.Account, error)
		python pythonCase
		code   int // of the refusal; 0 for a sign-in
	}
	byCode := func(p *account.App) (*account.Account, error) {
		address, flow, err := p.AuthURL(t.Context(), account.AuthOptions{RedirectURL: "http://localhost:8400"})
		if err != nil {
			return nil, err
		}
		redirect, err := idp.SignInAs(ana, address)
		if err != nil {
			return nil, err
		}
		return p.SignIn(t.Context(), flow, redirect)
	}
	byDevice := func(p *account.App) (*account.Account, error) { return p.DeviceCode(t.Context(), approve(idp, ana)) }
	byPassword := func(password tokencache.Secret) func(*account.App) (*account.Account, error) {
		return func(p *account.App) (*account.Account, error) { return p.Password(t.Context(), ana, password) }
	}
	byItself := func(p *account.App) (*account.Account, error) { return p.SignInApp(t.Context()) }
	onBehalf := func(assertion tokencache.Secret) func(*account.App) (*account.Account, error) {
		return func(p *account.App) (*account.Account, error) { return p.OnBehalfOf(t.Context(), assertion) }
	}
	daemon := func(c account.Credential) account.Config {
		return account.Config{ClientID: daemonClient, Credential: c, Tenant: entra.Tenant, Scopes: appScopes}
	}
	confidential := account.Config{ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret), Tenant: entra.Tenant}
	rows := []row{
		{"a code", account.Config{}, byCode, pythonCase{Flow: "code", ClientID: entra.PublicClient, Authority: microsoft + "common"}, 0},
		{"a code, with a secret", confidential, byCode, pythonCase{Flow: "code", ClientID: entra.ConfidentialClient, Authority: microsoft + entra.Tenant, Credential: entra.ConfidentialSecret}, 0},
		{"a code, with a certificate", account.Config{ClientID: daemonClient, Credential: account.Certificate([]*x509.Certificate{ours.cert}, ours.key)}, byCode, pythonCase{Flow: "code", ClientID: daemonClient, Authority: microsoft + "common", Credential: certificate}, 0},
		{"a code of Azure AD B2C", account.Config{Authority: entra.B2CAuthority}, byCode, pythonCase{Flow: "code", ClientID: entra.PublicClient, Authority: entra.B2CAuthority}, 0},
		{"a code of a customers' tenant", account.Config{Authority: entra.CustomersAuthority}, byCode, pythonCase{Flow: "code", ClientID: entra.PublicClient, Authority: entra.CustomersAuthority}, 0},
		{"a code of ADFS", account.Config{Authority: entra.ADFSAuthority}, byCode, pythonCase{Flow: "code", ClientID: entra.PublicClient, Authority: entra.ADFSAuthority}, 0},
		{"a device code", account.Config{}, byDevice, pythonCase{Flow: "device", ClientID: entra.PublicClient, Authority: microsoft + "common"}, 0},
		{"a password", account.Config{Tenant: entra.Tenant}, byPassword(entra.UserPassword), pythonCase{Flow: "password", ClientID: entra.PublicClient, Authority: microsoft + entra.Tenant, Password: entra.UserPassword}, 0},
		{"a wrong password", account.Config{Tenant: entra.Tenant}, byPassword("wrong"), pythonCase{Flow: "password", ClientID: entra.PublicClient, Authority: microsoft + entra.Tenant, Password: "wrong"}, 50126},
		{"on behalf of a caller", confidential, onBehalf(caller), pythonCase{Flow: "on_behalf_of", ClientID: entra.ConfidentialClient, Authority: microsoft + entra.Tenant, Credential: entra.ConfidentialSecret, Assertion: caller.Reveal()}, 0},
		{"on behalf of nobody", confidential, onBehalf("forged"), pythonCase{Flow: "on_behalf_of", ClientID: entra.ConfidentialClient, Authority: microsoft + entra.Tenant, Credential: entra.ConfidentialSecret, Assertion: "forged"}, 50013},
		{"an application, with a secret", daemon(account.Secret("new-canary")), byItself, pythonCase{Flow: "credentials", ClientID: daemonClient, Authority: microsoft + entra.Tenant, Credential: "new-canary"}, 0},
		{"an application, with a wrong secret", daemon(account.Secret("wrong")), byItself, pythonCase{Flow: "credentials", ClientID: daemonClient, Authority: microsoft + entra.Tenant, Credential: "wrong"}, 7000215},
		{"an application, with a thumbprint", daemon(account.Thumbprint(ours.thumbprint(), ours.key)), byItself, pythonCase{Flow: "credentials", ClientID: daemonClient, Authority: microsoft + entra.Tenant, Credential: certificate}, 0},
		{"an application, with an assertion", daemon(account.Assertion(func(context.Context) (string, error) { return assertion, nil })), byItself, pythonCase{Flow: "credentials", ClientID: daemonClient, Authority: microsoft + entra.Tenant, Credential: map[string]any{"client_assertion": assertion}}, 0},
	}
	backends, accounts := make([]core.TokenBackend, len(rows)), make([]*account.Account, len(rows))
	cases := make([]pythonCase, len(rows))
	for i, row := range rows {
		backends[i] = newBackend(t)
		a, err := row.signIn(newApp(t, idp, backends[i], row.cfg))
		cases[i] = row.python
		cases[i].Do, cases[i].Scopes, cases[i].Username = []string{"own"}, graphScopes, ana
		if row.python.Flow == "credentials" {
			cases[i].Scopes, cases[i].Username = appScopes, ""
		}
		if row.code != 0 {
			var refused *msal.Error
			if !errors.As(err, &refused) {
				t.Fatalf("%s: %v", row.what, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", row.what, err)
		}
		accounts[i] = a
		if row.python.Flow != "credentials" {
			cases[i].Do = append(cases[i].Do, "refreshed")
			cases[i].Record = writeRecord(t, backends[i], strings.ToLower(a.User().HomeAccountID))
		}
	}
	for i, outcome := range askPython(t, idp, cases) {
		row := rows[i]
		t.Run(row.what, func(t *testing.T) {
			if outcome.Failed != "" {
				t.Fatal(outcome.Failed)
			}
			if row.code != 0 {
				if !slices.Contains(outcome.Own.Codes, row.code) {
					t.Errorf("MSAL Python is refused by %v, want %d", outcome.Own.Codes, row.code)
				}
				return
			}
			if row.python.Flow == "credentials" {
				if outcome.Own.Error != "" {
					t.Errorf("MSAL Python is refused: %s", outcome.Own.Error)
				}
				return
			}
			who := accounts[i].User()
			if row.cfg.Authority == entra.B2CAuthority && outcome.Own.Username == "" {
				outcome.Own.Username = ana // MSAL Python finds no name in B2C's list of addresses
			}
			if outcome.Own.Username != who.Username || outcome.Own.Home != who.HomeAccountID || outcome.Refreshed != who.HomeAccountID {
				t.Errorf("MSAL Python signs %q (%s) in, and refreshes %s; the account is %q (%s)", outcome.Own.Username, outcome.Own.Home, outcome.Refreshed, who.Username, who.HomeAccountID)
			}
			// The account reads and refreshes the record that MSAL Python saved.
			data, err := os.ReadFile(cases[i].Record)
			if err != nil {
				t.Fatal(err)
			}
			b, key := newBackend(t), strings.ToLower(who.HomeAccountID)
			if _, err := b.Save(t.Context(), key, core.Record{Data: data}); err != nil {
				t.Fatal(err)
			}
			if _, err := newApp(t, idp, b, row.cfg).Account(who.HomeAccountID).TokenSource().Refresh(t.Context()); err != nil {
				t.Errorf("after MSAL Python: %v", err)
			}
		})
	}
}

func TestPythonO365ReadsAUsersRecord(t *testing.T) {
	peer.Python(t)
	idp := startWith(t, newProof(t))
	b := newBackend(t)
	p := newApp(t, idp, b, account.Config{})
	var cases []pythonCase
	for _, username := range []string{ana, bo} {
		a := signInTo(t, idp, p, username)
		cases = append(cases, pythonCase{
			ClientID: entra.PublicClient, Username: username, Record: writeRecord(t, b, a.User().HomeAccountID), Do: []string{"o365"},
		})
	}
	for i, outcome := range askPython(t, idp, cases) {
		if username := cases[i].Username; outcome.Failed != "" || !slices.Equal(outcome.O365, []string{username, username, username}) {
			t.Errorf("python-o365 finds %q for %s\n%s", outcome.O365, username, outcome.Failed)
		}
	}
}

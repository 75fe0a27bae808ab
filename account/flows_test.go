package account_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"software.sslmate.com/src/go-pkcs12"
)

const (
	daemonClient = "0b1c2d3e-0000-4000-8000-0000000cec7a"
	workload     = "https://cluster.example/oidc"
)

// proof is everything a confidential client can prove itself with.
type proof struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func newProof(t testing.TB) proof {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "daemon"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return proof{cert, key}
}

func (p proof) thumbprint() string {
	sum := sha1.Sum(p.cert.Raw)
	return hex.EncodeToString(sum[:])
}

func (p proof) pem(t testing.TB) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})...)
}

// token is one of a cluster's for a workload.
func (p proof) token(t testing.TB, subject string) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"iss": workload, "sub": subject, "aud": "api://AzureADTokenExchange", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	signed := b64([]byte(`{"alg":"RS256"}`)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(signature)
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// signerOnly is a key in a device: it signs, and can't be seen.
type signerOnly struct{ crypto.Signer }

func startWith(t testing.TB, p proof) *entra.Server {
	t.Helper()
	return entra.Start(t, entra.Options{
		Strict: true, Users: []entra.User{{Username: ana}, {Username: bo}},
		Clients: append(entra.DefaultClients(), entra.Client{
			ID: daemonClient, Secret: "new-canary", Certificates: []*x509.Certificate{p.cert},
			Federated: []entra.Federation{{Issuer: workload, Subject: "system:serviceaccount:mail:reader", Key: &p.key.PublicKey}},
		}),
	})
}

func TestEveryCredentialProvesTheApplication(t *testing.T) {
	ours, other := newProof(t), newProof(t)
	load := func(t *testing.T, data []byte, password string) account.Credential {
		c, err := account.LoadCertificate(file(t, "certificate", data), password)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	pfx := func(t *testing.T, p proof) []byte {
		data, err := pkcs12.Modern.Encode(p.key, p.cert, nil, "pässword")
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for what, row := range map[string]struct {
		credential func(t *testing.T) account.Credential
		ok         bool
	}{
		"the secret":                       {func(*testing.T) account.Credential { return account.Secret("new-canary") }, true},
		"the new secret, and an older one": {func(*testing.T) account.Credential { return account.Secret("new-canary", "old-canary") }, true},
		"a secret that is not there yet":   {func(*testing.T) account.Credential { return account.Secret("next-canary", "new-canary") }, true},
		"the last of three secrets":        {func(*testing.T) account.Credential { return account.Secret("a-canary", "b-canary", "new-canary") }, true},
		"wrong secrets":                    {func(*testing.T) account.Credential { return account.Secret("a-canary", "b-canary") }, false},
		"a certificate": {func(*testing.T) account.Credential {
			return account.Certificate([]*x509.Certificate{ours.cert}, ours.key)
		}, true},
		"another certificate": {func(*testing.T) account.Credential {
			return account.Certificate([]*x509.Certificate{other.cert}, other.key)
		}, false},
		"a certificate of a PEM file": {func(t *testing.T) account.Credential { return load(t, ours.pem(t), "") }, true},
		"a certificate of a PFX file": {func(t *testing.T) account.Credential { return load(t, pfx(t, ours), "pässword") }, true},
		"a thumbprint":                {func(*testing.T) account.Credential { return account.Thumbprint(ours.thumbprint(), ours.key) }, true},
		"a thumbprint in capitals with colons": {func(*testing.T) account.Credential {
			return account.Thumbprint(strings.ToUpper(ours.thumbprint()[:2]+":"+ours.thumbprint()[2:]), ours.key)
		}, true},
		"a thumbprint, and a key in a device": {func(*testing.T) account.Credential {
			return account.Thumbprint(ours.thumbprint(), signerOnly{ours.key})
		}, true},
		"a thumbprint, and another key": {func(*testing.T) account.Credential { return account.Thumbprint(ours.thumbprint(), other.key) }, false},
		"another thumbprint":            {func(*testing.T) account.Credential { return account.Thumbprint(other.thumbprint(), other.key) }, false},
		"an assertion": {func(t *testing.T) account.Credential {
			return account.Assertion(func(context.Context) (string, error) { return ours.token(t, "system:serviceaccount:mail:reader"), nil })
		}, true},
		"another workload's assertion": {func(t *testing.T) account.Credential {
			return account.Assertion(func(context.Context) (string, error) { return ours.token(t, "system:serviceaccount:mail:other"), nil })
		}, false},
		"an assertion that another signed": {func(t *testing.T) account.Credential {
			return account.Assertion(func(context.Context) (string, error) { return other.token(t, "system:serviceaccount:mail:reader"), nil })
		}, false},
		"no credential at all": {func(*testing.T) account.Credential { return account.Credential{} }, false},
	} {
		t.Run(what, func(t *testing.T) {
			idp := startWith(t, ours)
			p := newApp(t, idp, newBackend(t), account.Config{ClientID: daemonClient, Credential: row.credential(t), Tenant: entra.Tenant, Scopes: []string{account.DefaultScope}})
			a, err := p.SignInApp(t.Context())
			if (err == nil) != row.ok {
				t.Fatalf("the error is %v", err)
			}
			if err != nil {
				if strings.Contains(fmt.Sprintf("%+v", err), "canary") {
					t.Errorf("a secret shows: %+v", err)
				}
				return
			}
			if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
				t.Errorf("the next request: %v", err)
			}
			// A user's flows prove the application, too.
			user := newApp(t, idp, newBackend(t), account.Config{ClientID: daemonClient, Credential: row.credential(t)})
			if _, err := signInTo(t, idp, user, ana).TokenSource().Refresh(t.Context()); err != nil {
				t.Errorf("a user's refresh: %v", err)
			}
		})
	}
}

func TestASecretThatWasAcceptedIsTriedFirst(t *testing.T) {
	idp := startWith(t, newProof(t))
	p := newApp(t, idp, newBackend(t), account.Config{ClientID: daemonClient, Credential: account.Secret("next-canary", "new-canary"), Tenant: entra.Tenant, App: true})
	a, err := p.SignInApp(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := idp.Grants().ByType[entra.ClientCredentials].Received; n != 7 {
		t.Errorf("%d requests for 6 tokens, want one more to find out", n)
	}
	// The provider's secret is replaced while the program runs.
	if err := idp.AddClient(entra.Client{ID: daemonClient, Secret: "next-canary"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// A code and a refresh token are good once: the second secret is sent with the same.
func TestASecondSecretCostsNoCode(t *testing.T) {
	idp := startWith(t, newProof(t))
	p := newApp(t, idp, newBackend(t), account.Config{ClientID: daemonClient, Credential: account.Secret("next-canary", "new-canary")})
	a := signInTo(t, idp, p, ana)
	if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestACredentialThatCannotBeRightIsRefusedAtOnce(t *testing.T) {
	ours, other := newProof(t), newProof(t)
	ec, err := pkcs12.Modern.Encode(ours.key, ours.cert, nil, "right")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]account.Credential{
		"a blank secret":                 account.Secret(" "),
		"a blank older secret":           account.Secret("s", ""),
		"a key of another certificate":   account.Certificate([]*x509.Certificate{ours.cert}, other.key),
		"no certificate":                 account.Certificate(nil, ours.key),
		"no key":                         account.Certificate([]*x509.Certificate{ours.cert}, nil),
		"a thumbprint that is too short": account.Thumbprint("abcd", ours.key),
		"a thumbprint that is no number": account.Thumbprint(strings.Repeat("x", 40), ours.key),
		"a thumbprint without a key":     account.Thumbprint(ours.thumbprint(), nil),
		"an assertion of nothing":        account.Assertion(nil),
	} {
		if _, err := account.NewApp(core.NewStore(newBackend(t)), account.Config{ClientID: "app", Credential: c}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	for what, row := range map[string]struct {
		data     []byte
		password string
		want     string
	}{
		"a wrong password":   {ec, "wrong-canary", "the password doesn't open the file"},
		"an encrypted PEM":   {append(ours.pem(t), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})...), "wrong-canary", "openssl"},
		"no key in it":       {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw}), "", "no private key"},
		"neither of the two": {[]byte("canary text"), "", "neither PEM nor PFX"},
		"empty":              {nil, "", "neither PEM nor PFX"},
	} {
		_, err := account.LoadCertificate(file(t, "certificate", row.data), row.password)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := account.LoadCertificate("/nowhere/at all", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestTheTokenOfAWorkloadIsReadAnew(t *testing.T) {
	ours := newProof(t)
	idp := startWith(t, ours)
	a, err := account.New(core.NewStore(newBackend(t)), key, filled(idp, account.Config{
		ClientID: daemonClient, Credential: account.Assertion(account.WorkloadIdentity), Tenant: entra.Tenant, App: true,
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "AZURE_FEDERATED_TOKEN_FILE is not set") {
		t.Errorf("without the variable: %v", err)
	}
	path := file(t, "token", []byte(ours.token(t, "system:serviceaccount:mail:other")))
	fresh := func() *account.Account { // an account remembers a failure for a moment
		a, err := account.New(core.NewStore(newBackend(t)), key, filled(idp, account.Config{
			ClientID: daemonClient, Credential: account.Assertion(account.WorkloadIdentity), Tenant: entra.Tenant, App: true,
		}))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", path)
	a = fresh()
	var refused *msal.Error
	if err := a.Authenticate(t.Context(), nil, account.AuthOptions{}); !errors.As(err, &refused) {
		t.Errorf("another workload's token: %v", err)
	}
	if err := os.WriteFile(path, []byte(ours.token(t, "system:serviceaccount:mail:reader")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Authenticate(t.Context(), nil, account.AuthOptions{}); err != nil {
		t.Errorf("the token that the cluster has put there since: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Authenticate(t.Context(), nil, account.AuthOptions{}); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty file: %v", err)
	}
}

// approve enters the code at once, as a user with a phone would.
func approve(idp *entra.Server, username string) func(account.DeviceCode) error {
	return func(d account.DeviceCode) error {
		if username == "" {
			return idp.DeclineDevice(d.UserCode)
		}
		return idp.ApproveDevice(d.UserCode, username)
	}
}

func TestAUserSignsInByDeviceCode(t *testing.T) {
	idp, b := start(t), newBackend(t)
	var shown account.DeviceCode
	a, err := newApp(t, idp, b, account.Config{}).DeviceCode(t.Context(), func(d account.DeviceCode) error {
		shown = d
		return approve(idp, bo)(d)
	})
	if err != nil || a.User().Username != bo {
		t.Fatalf("the error is %v", err)
	}
	if left := time.Until(shown.Expires); shown.UserCode == "" || !strings.HasPrefix(shown.VerificationURL, "https://") || !strings.Contains(shown.Message, shown.UserCode) || left < 10*time.Minute {
		t.Errorf("shown was %q, %q, %q, and %v are left", shown.UserCode, shown.VerificationURL, shown.Message, left)
	}
	if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
		t.Errorf("the refresh: %v", err)
	}
}

func TestADeviceCodeThatNobodyEntersSignsNobodyIn(t *testing.T) {
	for what, row := range map[string]struct {
		show func(*entra.Server, context.CancelFunc) func(account.DeviceCode) error
		want func(error) bool
	}{
		"the user declines": {func(idp *entra.Server, _ context.CancelFunc) func(account.DeviceCode) error { return approve(idp, "") }, func(err error) bool {
			var refused *msal.Error
			return errors.As(err, &refused) && refused.Code == "authorization_declined"
		}},
		"the caller leaves": {func(_ *entra.Server, leave context.CancelFunc) func(account.DeviceCode) error {
			return func(account.DeviceCode) error { leave(); return nil }
		}, func(err error) bool { return errors.Is(err, context.Canceled) }},
		"the code can't be shown": {func(*entra.Server, context.CancelFunc) func(account.DeviceCode) error {
			return func(account.DeviceCode) error { return errAny }
		}, func(err error) bool { return errors.Is(err, errAny) }},
		"another user enters it": {func(idp *entra.Server, _ context.CancelFunc) func(account.DeviceCode) error { return approve(idp, bo) }, func(err error) bool {
			return errors.Is(err, account.ErrOtherUser)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			_, err := newApp(t, idp, b, account.Config{Username: ana}).DeviceCode(ctx, row.show(idp, leave))
			if !row.want(err) {
				t.Errorf("the error is %v", err)
			}
			if got := keysOf(t, b); len(got) != 0 {
				t.Errorf("the records are %q", got)
			}
		})
	}
	idp := start(t)
	p := newApp(t, idp, newBackend(t), account.Config{ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret)})
	if _, err := p.DeviceCode(t.Context(), approve(idp, ana)); err == nil || !strings.Contains(err.Error(), "public client") {
		t.Errorf("a confidential client: %v", err)
	}
	if _, err := newApp(t, idp, newBackend(t), account.Config{}).DeviceCode(t.Context(), nil); err == nil {
		t.Error("nobody shows the code: no error")
	}
}

func TestAUserSignsInByPassword(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{Tenant: entra.Tenant})
	a, err := p.Password(t.Context(), ana, entra.UserPassword)
	if err != nil || a.User().Username != ana {
		t.Fatalf("the error is %v", err)
	}
	if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
		t.Errorf("the refresh: %v", err)
	}
	_, err = p.Password(t.Context(), ana, "wrong-canary")
	var refused *msal.Error
	if !errors.As(err, &refused) || strings.Contains(fmt.Sprintf("%+v %#v", err, refused), "canary") {
		t.Errorf("a wrong password: %v", err)
	}
	idp.Inject(entra.Password, entra.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"AADSTS50126: the password quoted-canary is wrong"}`})
	if _, err := p.Password(t.Context(), ana, "quoted-canary"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a password that the provider quotes: %v", err)
	}
	if _, err := newApp(t, idp, b, account.Config{Tenant: entra.Tenant, Username: bo}).Password(t.Context(), ana, entra.UserPassword); !errors.Is(err, account.ErrOtherUser) {
		t.Errorf("another user than the Config's: %v", err)
	}
	if _, err := p.Password(t.Context(), "", ""); err == nil {
		t.Error("no password: no error")
	}
}

// MSAL Go sends the password wherever the answer about the user's realm says.
func TestAPasswordGoesToNoOtherProvider(t *testing.T) {
	idp := start(t)
	sent := false
	p := newApp(t, idp, newBackend(t), account.Config{Tenant: entra.Tenant, HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		sent = sent || req.URL.Host == "adfs.thief.example"
		if strings.Contains(strings.ToLower(req.URL.Path), "/userrealm/") {
			return reply(req, `{"ver":"1.0","account_type":"Federated","domain_name":"contoso.com","cloud_instance_name":"microsoftonline.com","cloud_audience_urn":"urn:federation:MicrosoftOnline",
				"federation_protocol":"WSTrust","federation_metadata_url":"https://adfs.thief.example/mex"}`), nil
		}
		return idp.HTTPClient().Transport.RoundTrip(req)
	})}})
	_, err := p.Password(t.Context(), ana, "pw-canary")
	if err == nil || !strings.Contains(err.Error(), "browser") || sent {
		t.Errorf("sent %v; the error is %v", sent, err)
	}
}

// api is the access token that a client of the confidential application sends.
func api(t *testing.T, idp *entra.Server, username string) tokencache.Secret {
	t.Helper()
	p := newApp(t, idp, newBackend(t), account.Config{Scopes: []string{"api://" + entra.ConfidentialClient + "/access"}})
	token, err := signInTo(t, idp, p, username).TokenSource().Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.Secret
}

func TestAnAPICallsGraphOnBehalfOfItsCaller(t *testing.T) {
	idp, b := start(t), newBackend(t)
	p := newApp(t, idp, b, account.Config{ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret), Tenant: entra.Tenant})
	for _, username := range []string{ana, bo} {
		a, err := p.OnBehalfOf(t.Context(), api(t, idp, username))
		if err != nil || a.User().Username != username {
			t.Fatalf("the error is %v", err)
		}
		if token, err := a.TokenSource().Refresh(t.Context()); err != nil || token.HomeAccountID != homeOf(idp, username) {
			t.Errorf("the refresh of %q: %v", token.HomeAccountID, err)
		}
	}
	if n := len(keysOf(t, b)); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	for what, assertion := range map[string]tokencache.Secret{"no token": "", "a forged one": "forged-canary"} {
		if _, err := p.OnBehalfOf(t.Context(), assertion); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
	idp.Inject(entra.OnBehalfOf, entra.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"AADSTS50013: quoted-canary"}`})
	if _, err := p.OnBehalfOf(t.Context(), "quoted-canary"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("an assertion that the provider quotes: %v", err)
	}
	if _, err := newApp(t, idp, b, account.Config{}).OnBehalfOf(t.Context(), api(t, idp, ana)); err == nil {
		t.Error("a public client: no error")
	}
}

func TestAnApplicationSignsItselfInWhereItCan(t *testing.T) {
	secret := account.Secret(entra.ConfidentialSecret)
	for what, row := range map[string]struct {
		cfg  account.Config
		want string // "" for no error
	}{
		"at its tenant":          {account.Config{Credential: secret, Tenant: entra.Tenant}, ""},
		"at its tenant's domain": {account.Config{Credential: secret, Tenant: "contoso.com", Scopes: []string{"https://graph.microsoft.com/.default"}}, ""},
		"at common":              {account.Config{Credential: secret}, "one tenant"},
		"at organizations":       {account.Config{Credential: secret, Tenant: "organizations"}, "one tenant"},
		"at consumers":           {account.Config{Credential: secret, Authority: "https://login.microsoftonline.com/Consumers"}, "one tenant"},
		"with a user's scopes":   {account.Config{Credential: secret, Tenant: entra.Tenant, Scopes: []string{"User.Read"}}, "/.default"},
		"without a credential":   {account.Config{Tenant: entra.Tenant}, "Credential"},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t)
			row.cfg.ClientID, row.cfg.HTTPClient, row.cfg.App = entra.ConfidentialClient, idp.HTTPClient(), true
			p, err := account.NewApp(core.NewStore(newBackend(t)), row.cfg)
			if _, byNew := account.New(core.NewStore(newBackend(t)), key, row.cfg); (byNew == nil) != (err == nil) {
				t.Errorf("New says %v, and NewApp %v", byNew, err)
			}
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("the error is %v", err)
				}
				row.cfg.App = false // a user's application, which finds out when it tries
				p, err := account.NewApp(core.NewStore(newBackend(t)), row.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.SignInApp(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("SignInApp: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			a, err := p.SignInApp(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := a.IsAuthenticated(t.Context()); !ok || err != nil {
				t.Errorf("is authenticated: %v, %v", ok, err)
			}
			if _, _, err := p.AuthURL(t.Context(), account.AuthOptions{}); err == nil {
				t.Error("an application was sent to the sign-in page")
			}
			if _, err := p.DeviceCode(t.Context(), approve(idp, ana)); err == nil {
				t.Error("a user signed in by device code")
			}
			if err := a.SignOut(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOtherProvidersSignUsersIn(t *testing.T) {
	for what, row := range map[string]struct {
		cfg    account.Config
		device bool
	}{
		"Azure AD B2C":                         {account.Config{Authority: entra.B2CAuthority}, false},
		"Azure AD B2C, with /v2.0 behind it":   {account.Config{Authority: entra.B2CAuthority + "/v2.0/"}, false},
		"a customers' tenant":                  {account.Config{Authority: entra.CustomersAuthority}, true},
		"a customers' tenant, with its ID":     {account.Config{Authority: entra.CustomersAuthority, Tenant: entra.Tenant}, true},
		"a customers' tenant, with /v2.0":      {account.Config{Authority: entra.CustomersAuthority + "/" + entra.Tenant + "/v2.0"}, true},
		"Active Directory Federation Services": {account.Config{Authority: entra.ADFSAuthority}, true},
		"Entra, with /v2.0 behind it":          {account.Config{Authority: "https://login.microsoftonline.com/" + entra.Tenant + "/v2.0"}, true},
		"Entra's host, with /v2.0 behind it":   {account.Config{Authority: "https://login.microsoftonline.com/v2.0", Tenant: entra.Tenant}, true},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			row.cfg.RedirectURL = "http://localhost:8400"
			p := newApp(t, idp, b, row.cfg)
			a := signInTo(t, idp, p, ana)
			if a.User().Username != ana || a.User().HomeAccountID == "" {
				t.Errorf("signed in as %+v", a.User())
			}
			before, err := a.TokenSource().Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			later := newApp(t, idp, b, row.cfg).Account(a.User().HomeAccountID)
			after, err := later.TokenSource().Refresh(t.Context())
			if err != nil || after.Secret == before.Secret {
				t.Errorf("the refresh: %v", err)
			}
			if names, err := p.Usernames(t.Context()); err != nil || len(names) != 1 || names[0] != ana {
				t.Errorf("the users are %q: %v", names, err)
			}
			if row.device {
				if _, err := p.DeviceCode(t.Context(), approve(idp, ana)); err != nil {
					t.Errorf("by device code: %v", err)
				}
			}
			row.cfg.Username = ana
			flow, redirect := visit(t, idp, newApp(t, idp, b, row.cfg), bo, account.AuthOptions{})
			if _, err := newApp(t, idp, b, row.cfg).SignIn(t.Context(), flow, redirect); !errors.Is(err, account.ErrOtherUser) {
				t.Errorf("another user: %v", err)
			}
		})
	}
}

// An API is called many times with one token.
func TestAnAssertionIsTradedOnce(t *testing.T) {
	idp, b := start(t), newBackend(t)
	cfg := account.Config{ClientID: entra.ConfidentialClient, Credential: account.Secret(entra.ConfidentialSecret), Tenant: entra.Tenant}
	p := newApp(t, idp, b, cfg)
	anas, bos := api(t, idp, ana), api(t, idp, bo)
	traded := func() int { return idp.Grants().ByType[entra.OnBehalfOf].Received }
	for range 5 {
		for username, assertion := range map[string]tokencache.Secret{ana: anas, bo: bos} {
			a, err := p.OnBehalfOf(t.Context(), assertion)
			if err != nil || a.User().Username != username {
				t.Fatalf("%s: %v", username, err)
			}
		}
	}
	if n := traded(); n != 2 {
		t.Errorf("two assertions were traded %d times", n)
	}
	// A sign-out counts, and so does the provider's word after it.
	a, err := p.OnBehalfOf(t.Context(), anas)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.OnBehalfOf(t.Context(), anas); err != nil {
		t.Errorf("after signing out: %v", err)
	}
	if n := traded(); n != 3 {
		t.Errorf("after signing out, %d were traded, want 3", n)
	}
	idp.Revoke(ana)
	if err := a.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.OnBehalfOf(t.Context(), anas); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("an assertion that is revoked: %v", err)
	}
}

func TestAnExpiredAssertionIsTradedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traded := 0
		p, err := account.NewApp(core.NewStore(newBackend(t)), account.Config{
			ClientID: "app", Credential: account.Secret("s"), Authority: "https://idp.example.com/t", DisableInstanceDiscovery: true,
			HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodPost {
					traded++
				}
				return at("idp.example.com", `{"access_token":"at","expires_in":86400,"client_info":"`+b64([]byte(`{"uid":"u","utid":"t"}`))+`"}`).RoundTrip(req)
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		lives := func(d time.Duration) func() string {
			return func() string { return jwt(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(d).Unix())) }
		}
		for what, row := range map[string]struct {
			assertion func() string
			want      int // trades of two calls at once and one an hour later
		}{
			"that has expired then":       {lives(time.Hour), 2},
			"that lives longer":           {lives(9 * time.Hour), 1},
			"that doesn't say":            {func() string { return "opaque" }, 3},
			"that says something strange": {func() string { return jwt([]byte(`{"exp":"never"}`)) }, 3},
		} {
			before, assertion := traded, tokencache.Secret(row.assertion())
			for _, pause := range []time.Duration{0, 0, time.Hour} {
				time.Sleep(pause)
				if _, err := p.OnBehalfOf(t.Context(), assertion); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if n := traded - before; n != row.want {
				t.Errorf("an assertion %s was traded %d times, want %d", what, n, row.want)
			}
		}
	})
}

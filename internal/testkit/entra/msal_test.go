package entra_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const microsoft = "https://login.microsoftonline.com/"

var mailScopes = []string{"https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.ReadWrite"}

// publicApp is MSAL Go's public client, told what an application tells it and the HTTP client.
func publicApp(t *testing.T, idp *entra.Server, authority string, more ...public.Option) public.Client {
	t.Helper()
	app, err := public.New(entra.PublicClient, append([]public.Option{
		public.WithAuthority(authority), public.WithHTTPClient(idp.HTTPClient()),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// signIn is the authorization code flow with PKCE as a web application drives it.
func signIn(t *testing.T, idp *entra.Server, app public.Client, username string) public.AuthResult {
	t.Helper()
	const redirect = "http://localhost:8400/callback"
	const verifier = "a-verifier-of-at-least-forty-three-characters"
	authURL, err := app.AuthCodeURL(t.Context(), entra.PublicClient, redirect, append(mailScopes, "offline_access"), public.WithLoginHint(username))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(verifier))
	back, err := idp.SignIn(authURL + "&state=s1&code_challenge_method=S256&code_challenge=" + base64.RawURLEncoding.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("state"); got != "s1" {
		t.Fatalf("state came back as %q", got)
	}
	res, err := app.AcquireTokenByAuthCode(t.Context(), u.Query().Get("code"), redirect, mailScopes, public.WithChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// me calls Graph with a token and returns the status.
func me(t *testing.T, client *http.Client, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://graph.microsoft.com/v1.0/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestMSALGoSignsInAndRefreshes(t *testing.T) {
	for _, c := range []struct{ name, tenant string }{
		{"at the shared authority", "common"},
		{"at organizations", "organizations"},
		{"at its tenant's GUID", entra.Tenant},
		{"at its tenant's domain", "contoso.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			idp := entra.Start(t, entra.Options{Strict: true})
			app := publicApp(t, idp, microsoft+c.tenant)
			res := signIn(t, idp, app, entra.Ana)

			ana, _ := idp.User(entra.Ana)
			wantEqual(t, "the home account id", res.Account.HomeAccountID, ana.HomeAccountID())
			wantEqual(t, "the user name", res.Account.PreferredUsername, entra.Ana)
			if res.IDToken.TenantID != entra.Tenant {
				t.Errorf("the id token's tid is %q, want the home tenant", res.IDToken.TenantID)
			}
			if status := me(t, idp.HTTPClient(), res.AccessToken); status != http.StatusOK {
				t.Errorf("Graph answered %d", status)
			}

			// Claims make MSAL pass over its cached token.
			again, err := app.AcquireTokenSilent(t.Context(), mailScopes, public.WithSilentAccount(res.Account), public.WithClaims(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			if again.AccessToken == res.AccessToken {
				t.Error("a refresh brought the same access token")
			}
			if n := idp.Grants().RefreshesSucceeded; n != 1 {
				t.Errorf("%d refreshes were counted, want 1", n)
			}
		})
	}
}

func TestMSALGoWorksWithOnlyTheCATrusted(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(idp.CertPEM()) {
		t.Fatal("CertPEM is no PEM")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig.RootCAs = roots
	plain := &http.Client{Transport: transport}
	defer plain.CloseIdleConnections()

	app, err := public.New(entra.PublicClient, public.WithAuthority(idp.Authority("common")),
		public.WithHTTPClient(plain), public.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	res := signIn(t, idp, app, entra.Ana)
	if _, err := app.AcquireTokenSilent(t.Context(), mailScopes, public.WithSilentAccount(res.Account), public.WithClaims(`{}`)); err != nil {
		t.Fatal(err)
	}
}

func TestMSALGoIsToldThatAPrivateHostIsNoMicrosoftInstance(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	app := publicApp(t, idp, idp.Authority("common")) // instance discovery left on
	_, err := app.AuthCodeURL(t.Context(), entra.PublicClient, "http://localhost", mailScopes)
	if err == nil || !strings.Contains(err.Error(), "invalid_instance") {
		t.Fatalf("got %v, want invalid_instance as from Microsoft", err)
	}
}

func TestMSALGoSignsInInteractivelyByFormPost(t *testing.T) {
	idp := entra.Start(t, entra.Options{Users: []entra.User{{Username: entra.Ana}, {Username: "bo@contoso.com"}}})
	app := publicApp(t, idp, microsoft+"common")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := app.AcquireTokenInteractive(ctx, mailScopes, public.WithOpenURL(idp.Browse))
	if err != nil {
		t.Fatal(err)
	}
	if res.Account.PreferredUsername != entra.Ana {
		t.Errorf("signed in %q, want the first user", res.Account.PreferredUsername)
	}
	res, err = app.AcquireTokenInteractive(ctx, mailScopes, public.WithOpenURL(idp.BrowseAs("bo@contoso.com")))
	if err != nil {
		t.Fatal(err)
	}
	if res.Account.PreferredUsername != "bo@contoso.com" {
		t.Errorf("signed in %q, want bo", res.Account.PreferredUsername)
	}
}

func TestMSALGoSignsInByDeviceCode(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	app := publicApp(t, idp, microsoft+"common")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code, err := app.AcquireTokenByDeviceCode(ctx, mailScopes)
	if err != nil {
		t.Fatal(err)
	}
	// The user comes back with the code after the application asked in vain once.
	approved := make(chan error, 1)
	go func() {
		if err := idp.Wait(ctx, func(g entra.Grants) bool { return g.ByType[entra.DeviceCode].Failed > 0 }); err != nil {
			approved <- err
			return
		}
		approved <- idp.ApproveDevice(strings.ToLower(code.Result.UserCode), entra.Ana)
	}()
	res, err := code.AuthenticationResult(ctx)
	if err := <-approved; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if res.Account.PreferredUsername != entra.Ana {
		t.Errorf("signed in %q", res.Account.PreferredUsername)
	}
	if _, err := app.AcquireTokenSilent(ctx, mailScopes, public.WithSilentAccount(res.Account), public.WithClaims(`{}`)); err != nil {
		t.Errorf("the device's refresh token: %v", err)
	}
}

func TestMSALGoGetsAnApplicationsToken(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	scopes := []string{"https://graph.microsoft.com/.default"}
	acquire := func(secret string) (confidential.AuthResult, error) {
		cred, err := confidential.NewCredFromSecret(secret)
		if err != nil {
			t.Fatal(err)
		}
		app, err := confidential.New(microsoft+entra.Tenant, entra.ConfidentialClient, cred, confidential.WithHTTPClient(idp.HTTPClient()))
		if err != nil {
			t.Fatal(err)
		}
		return app.AcquireTokenByCredential(t.Context(), scopes)
	}
	res, err := acquire(entra.ConfidentialSecret)
	if err != nil {
		t.Fatal(err)
	}
	if status := me(t, idp.HTTPClient(), res.AccessToken); status != http.StatusBadRequest {
		t.Errorf("/me for an application is %d, want Graph's 400", status)
	}
	if _, err := acquire("wrong"); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("a wrong secret: %v", err)
	}
	n := idp.Grants().ByType[entra.ClientCredentials]
	wantEqual(t, "requests that succeeded", n.Succeeded, 1)
	wantEqual(t, "requests that failed", n.Failed, 1)
}

func TestMSALGoLosesItsFamilyByReuseInStrictMode(t *testing.T) {
	idp := entra.Start(t, entra.Options{Strict: true})
	app := publicApp(t, idp, microsoft+"common")
	res := signIn(t, idp, app, entra.Ana)
	refresh := func() error {
		_, err := app.AcquireTokenSilent(t.Context(), mailScopes, public.WithSilentAccount(res.Account), public.WithClaims(`{}`))
		return err
	}
	// The answer is lost, so MSAL still holds the token that is spent now.
	idp.Inject(entra.Refresh, entra.Fault{Drop: true})
	if err := refresh(); err == nil {
		t.Fatal("a dropped reply was no error")
	}
	if err := refresh(); err == nil || !strings.Contains(err.Error(), "AADSTS70000") {
		t.Fatalf("reuse: %v", err)
	}
	g := idp.Grants()
	wantEqual(t, "spent refresh tokens", g.ReuseDetected, 1)
	wantEqual(t, "revoked families", g.FamiliesRevoked, 1)
	wantEqual(t, "replies that were lost", g.RepliesLost, 1)
}

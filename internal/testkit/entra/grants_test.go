package entra_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestMSALGoSignsInByPassword(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	app := publicApp(t, idp, microsoft+"organizations")
	//lint:ignore SA1019 python-o365 has this flow, so the imitation does
	res, err := app.AcquireTokenByUsernamePassword(t.Context(), mailScopes, entra.Ana, entra.UserPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.AcquireTokenSilent(t.Context(), mailScopes, public.WithSilentAccount(res.Account), public.WithClaims(`{}`)); err != nil {
		t.Errorf("its refresh token: %v", err)
	}
	//lint:ignore SA1019 as above
	if _, err := app.AcquireTokenByUsernamePassword(t.Context(), mailScopes, entra.Ana, "wrong"); err == nil || !strings.Contains(err.Error(), "AADSTS50126") {
		t.Errorf("a wrong password: %v", err)
	}
}

func certificate(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
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
	return cert, key
}

func TestMSALGoProvesItselfByCertificate(t *testing.T) {
	cert, key := certificate(t)
	stranger, strangersKey := certificate(t)
	idp := entra.Start(t, entra.Options{Clients: []entra.Client{{ID: "daemon", Certificates: []*x509.Certificate{cert}}}})
	acquire := func(cert *x509.Certificate, key crypto.PrivateKey) error {
		cred, err := confidential.NewCredFromCert([]*x509.Certificate{cert}, key)
		if err != nil {
			t.Fatal(err)
		}
		app, err := confidential.New(microsoft+"contoso.com", "daemon", cred, confidential.WithHTTPClient(idp.HTTPClient()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.AcquireTokenByCredential(t.Context(), []string{"https://graph.microsoft.com/.default"})
		return err
	}
	if err := acquire(cert, key); err != nil {
		t.Error(err)
	}
	if err := acquire(stranger, strangersKey); err == nil || !strings.Contains(err.Error(), "AADSTS700027") {
		t.Errorf("a stranger's certificate: %v", err)
	}
}

func TestMSALGoActsOnBehalfOfAUser(t *testing.T) {
	app := start(t, entra.Options{})
	toAPI := app.redeem(app.authorize("scope", "openid api://"+entra.ConfidentialClient+"/access").Get("code")).must(t).Access
	if status := me(t, app.idp.HTTPClient(), toAPI); status != http.StatusUnauthorized {
		t.Errorf("Graph took a token for another audience: %d", status)
	}
	cred, err := confidential.NewCredFromSecret(entra.ConfidentialSecret)
	if err != nil {
		t.Fatal(err)
	}
	api, err := confidential.New(microsoft+entra.Tenant, entra.ConfidentialClient, cred, confidential.WithHTTPClient(app.idp.HTTPClient()))
	if err != nil {
		t.Fatal(err)
	}
	res, err := api.AcquireTokenOnBehalfOf(t.Context(), toAPI, mailScopes)
	if err != nil {
		t.Fatal(err)
	}
	if status := me(t, app.idp.HTTPClient(), res.AccessToken); status != http.StatusOK {
		t.Errorf("Graph answered %d", status)
	}
	if _, err := api.AcquireTokenOnBehalfOf(t.Context(), res.AccessToken, mailScopes); err == nil || !strings.Contains(err.Error(), "AADSTS500131") {
		t.Errorf("a token for Graph was taken for one for the API: %v", err)
	}
}

func TestADeviceWaitsForItsUser(t *testing.T) {
	now := newClock()
	app := start(t, entra.Options{Clock: now.Now})
	begin := func() (code, user string) {
		t.Helper()
		resp, err := app.idp.HTTPClient().PostForm(microsoft+"organizations/oauth2/v2.0/devicecode", form("client_id", entra.PublicClient, "scope", scope))
		if err != nil {
			t.Fatal(err)
		}
		r, err := read(resp)
		if err != nil {
			t.Fatal(err)
		}
		return r.must(t).fields["device_code"].(string), r.fields["user_code"].(string)
	}
	poll := func(code string) response {
		t.Helper()
		return app.token("grant_type", entra.DeviceCode, "device_code", code)
	}
	page := func(user, username string) {
		t.Helper()
		resp, err := app.idp.HTTPClient().PostForm(app.idp.URL()+"/device", form("user_code", user, "username", username))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the page answered %s", resp.Status)
		}
	}

	approved, user := begin()
	poll(approved).refused(t, "authorization_pending", 70016)
	page(" "+strings.ToLower(user[:4])+"-"+user[4:], entra.Ana) // as people type
	if poll(approved).must(t).Refresh == "" {
		t.Error("no refresh token came")
	}
	poll(approved).refused(t, "invalid_grant", 54005)

	declined, user := begin()
	page(user, "")
	poll(declined).refused(t, "authorization_declined", 65004)

	late, user := begin()
	now.Advance(16 * time.Minute)
	poll(late).refused(t, "expired_token", 70020)
	if err := app.idp.ApproveDevice(user, entra.Ana); err == nil {
		t.Error("an expired code was approved")
	}
	poll("1.made-up").refused(t, "bad_verification_code", 70018)
}

func TestAnIDTokenIsSignedWithThePublishedKey(t *testing.T) {
	app := start(t, entra.Options{})
	token := app.signIn().fields["id_token"].(string)
	resp, err := app.idp.HTTPClient().Get(microsoft + "common/discovery/v2.0/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ N, E string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%d keys, %v", len(set.Keys), err)
	}
	number := func(s string) *big.Int {
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(raw)
	}
	key := &rsa.PublicKey{N: number(set.Keys[0].N), E: int(number(set.Keys[0].E).Int64())}
	dot := strings.LastIndexByte(token, '.')
	digest := sha256.Sum256([]byte(token[:dot]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], number(token[dot+1:]).FillBytes(make([]byte, 256))); err != nil {
		t.Error(err)
	}
}

func TestMSALGoSatisfiesAClaimsChallenge(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	app := publicApp(t, idp, microsoft+"common", public.WithClientCapabilities([]string{"CP1"}))
	res := signIn(t, idp, app, entra.Ana)
	const demanded = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	if err := idp.Graph().Demand(demanded); err != nil {
		t.Fatal(err)
	}
	if status := me(t, idp.HTTPClient(), res.AccessToken); status != http.StatusUnauthorized {
		t.Errorf("Graph answered %d, want its challenge", status)
	}
	var seen string
	idp.OnToken(func(r entra.Request) entra.Fault { seen = r.Claims; return entra.Fault{} })
	res, err := app.AcquireTokenSilent(t.Context(), mailScopes, public.WithSilentAccount(res.Account), public.WithClaims(demanded))
	if err != nil {
		t.Fatal(err)
	}
	if status := me(t, idp.HTTPClient(), res.AccessToken); status != http.StatusOK {
		t.Errorf("Graph answered %d", status)
	}
	if !strings.Contains(seen, "1604106651") || !strings.Contains(seen, "CP1") {
		t.Errorf("the request's claims were %s", seen)
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := idp.Wait(ctx, func(entra.Grants) bool { return false }); err == nil || !strings.Contains(err.Error(), "counters") {
		t.Errorf("got %v", err)
	}
	if err := idp.Hold("").Await(ctx, 1); err == nil || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("got %v", err)
	}
}

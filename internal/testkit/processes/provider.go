//go:build unix

package processes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// provider is the imitation of Entra as another process reaches it.
type provider struct {
	URL string // of the token endpoint
	CA  string // the certificate to trust, in PEM
}

func (p provider) refresh(ctx context.Context, c *tokencache.Cache, q tokencache.Query, now time.Time) error {
	token, ok := c.RefreshToken(q)
	if !ok {
		return core.ErrReauthRequired
	}
	return p.ask(ctx, c, now, url.Values{"grant_type": {entra.Refresh}, "refresh_token": {token.Secret.Reveal()}})
}

func (p provider) signIn(ctx context.Context, c *tokencache.Cache, now time.Time) error {
	return p.ask(ctx, c, now, url.Values{"grant_type": {entra.Password}, "username": {entra.Ana}, "password": {entra.UserPassword}})
}

// ask leaves in c what the provider answers.
func (p provider) ask(ctx context.Context, c *tokencache.Cache, now time.Time, form url.Values) error {
	form.Set("client_id", entra.PublicClient)
	form.Set("client_info", "1")
	form.Set("scope", "openid profile offline_access User.Read")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(p.CA)) {
		return fmt.Errorf("no certificate in %q", p.CA)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		IDToken      string `json:"id_token"`
		ClientInfo   string `json:"client_info"`
		Scope        string `json:"scope"`
		ExpiresIn    int    `json:"expires_in"`
		Error        string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	switch {
	case answer.Error == "invalid_grant":
		return core.ErrReauthRequired
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return c.Put(tokencache.TokenResponse{
		AccessToken: answer.AccessToken, RefreshToken: answer.RefreshToken, IDToken: answer.IDToken, ClientInfo: answer.ClientInfo,
		Scope: answer.Scope, ExpiresIn: answer.ExpiresIn,
		ClientID: entra.PublicClient, Tenant: entra.Tenant, GrantType: form.Get("grant_type"), Sent: now,
	})
}

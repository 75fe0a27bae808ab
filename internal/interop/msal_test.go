package interop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const (
	authority = "https://login.microsoftonline.com/common"
	record    = "record.json"
)

var scopes = []string{"https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.ReadWrite"}

// shared is one record that MSAL Go, MSAL Python and this collection use, each
// with the provider's real name, which leads to the strict imitation.
type shared struct {
	idp    *entra.Server
	dir    string
	store  *core.Store
	python script

	accessor cache.ExportReplace // MSAL Go's
}

func newShared(t *testing.T) *shared {
	t.Helper()
	s := &shared{idp: entra.Start(t, entra.Options{Strict: true}), dir: t.TempDir()}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := s.idp.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	s.python = newScript(t, "TESTKIT_ADDR="+s.idp.Addr(), "REQUESTS_CA_BUNDLE="+ca, "PEER_DIR="+s.dir, "PEER_NAME="+record,
		"PEER_CLIENT="+entra.PublicClient, "PEER_USER="+entra.Ana)
	backend, err := filesystem.New(s.dir, filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.store = core.NewStore(backend)
	s.accessor = file(filepath.Join(s.dir, record))
	return s
}

// file is the cache accessor that MSAL Go's users write by hand.
type file string

func (f file) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	data, err := os.ReadFile(string(f))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Unmarshal(data)
}

func (f file) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(string(f), data, 0o600)
}

// stored is a cache accessor over this collection's store.
type stored struct{ *core.Store }

func (s stored) Replace(ctx context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	tokens, _, err := s.Load(ctx, record)
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := tokens.Marshal()
	if err != nil {
		return err
	}
	return c.Unmarshal(data)
}

func (s stored) Export(ctx context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	tokens, err := tokencache.Parse(data)
	if err != nil {
		return err
	}
	_, err = s.Save(ctx, record, tokens, core.AnyVersion)
	return err
}

// msalGo is MSAL Go as another program has it: it knows nothing but the record.
func (s *shared) msalGo(t *testing.T) public.Client {
	t.Helper()
	app, err := public.New(entra.PublicClient, public.WithAuthority(authority), public.WithHTTPClient(s.idp.HTTPClient()),
		public.WithCache(s.accessor))
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// signIn signs ana in with MSAL Go.
func (s *shared) signIn(t *testing.T) {
	t.Helper()
	const redirect, verifier = "http://localhost:8400/callback", "a-verifier-of-at-least-forty-three-characters"
	app := s.msalGo(t)
	authURL, err := app.AuthCodeURL(t.Context(), entra.PublicClient, redirect, append(scopes, "offline_access"), public.WithLoginHint(entra.Ana))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(verifier))
	back, err := s.idp.SignIn(authURL + "&code_challenge_method=S256&code_challenge=" + base64.RawURLEncoding.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.AcquireTokenByAuthCode(t.Context(), u.Query().Get("code"), redirect, scopes, public.WithChallenge(verifier)); err != nil {
		t.Fatal(err)
	}
}

// silent asks MSAL Go for ana's token; refresh makes it pass over the one it has.
func (s *shared) silent(t *testing.T, refresh bool) string {
	t.Helper()
	app := s.msalGo(t)
	accounts, err := app.Accounts(t.Context())
	if err != nil || len(accounts) != 1 || accounts[0].PreferredUsername != entra.Ana {
		t.Fatalf("MSAL Go finds the accounts %+v, %v", accounts, err)
	}
	options := []public.AcquireSilentOption{public.WithSilentAccount(accounts[0])}
	if refresh {
		options = append(options, public.WithClaims(`{}`))
	}
	res, err := app.AcquireTokenSilent(t.Context(), scopes, options...)
	if err != nil {
		t.Fatalf("MSAL Go: %v", err)
	}
	return res.AccessToken
}

// refresh refreshes as this collection does: load, spend, Put, save.
func (s *shared) refresh(t *testing.T) string {
	t.Helper()
	client, err := msal.NewPublic(entra.PublicClient, msal.WithAuthority(authority), msal.WithHTTPClient(s.idp.HTTPClient()))
	if err != nil {
		t.Fatal(err)
	}
	q := tokencache.Query{Username: entra.Ana, Scopes: scopes}
	_, v, err := s.store.Load(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := s.store.Refresh(t.Context(), record, v, func(ctx context.Context, c *tokencache.Cache) error {
		return client.Refresh(ctx, c, core.Refresh{Query: q, Force: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	at, _ := c.AccessToken(q)
	return at.Secret.Reveal()
}

// refreshInPython has MSAL Python refresh, on the file itself.
func (s *shared) refreshInPython(t *testing.T) (token, refusal string) {
	t.Helper()
	var answer struct{ Token, Error string }
	s.python.run(t, "msal_refresh", &answer)
	return answer.Token, answer.Error
}

// nextSecond waits for it. Stamps are in seconds: of two refreshes in one, none
// is the newer.
func nextSecond() { time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) }

// reads is what MSAL Python finds.
type reads struct {
	Username, Home, Silent string
	Sections               map[string]int
}

func TestWhatPutWroteIsReadByBothMSALs(t *testing.T) {
	s := newShared(t)
	ana, _ := s.idp.User(entra.Ana)
	err := s.store.Update(t.Context(), record, func(c *tokencache.Cache) error {
		uid, utid := ana.HomeAccountID()[:36], ana.HomeAccountID()[37:]
		return c.Put(tokencache.TokenResponse{
			AccessToken: "at-go", RefreshToken: "rt-go", ExpiresIn: 3600, Scope: strings.Join(scopes, " ") + " openid profile offline_access",
			IDToken:    "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"oid":"`+uid+`","tid":"`+utid+`","sub":"s","aud":"`+entra.PublicClient+`","preferred_username":"`+entra.Ana+`"}`)) + ".sig",
			ClientInfo: base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"` + uid + `","utid":"` + utid + `"}`)),
			ClientID:   entra.PublicClient, Tenant: "common", GrantType: "authorization_code",
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.silent(t, false); got != "at-go" {
		t.Errorf("MSAL Go's silent token is %q", got)
	}
	var got reads
	s.python.run(t, "msal_read", &got)
	if got.Silent != "at-go" || got.Username != entra.Ana || got.Home != ana.HomeAccountID() {
		t.Errorf("MSAL Python finds %+v", got)
	}
	for _, name := range []string{"AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata"} {
		if got.Sections[name] != 1 {
			t.Errorf("MSAL Python finds %d entries in %s", got.Sections[name], name)
		}
	}
	if n := s.idp.Grants().Total.Received; n != 0 {
		t.Errorf("%d token requests were sent; all of it was in the record", n)
	}
}

func TestThreeLibrariesTakeTurnsAtOneRecord(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 6 // each takes a second
	}
	s := newShared(t)
	s.accessor = stored{s.store}
	s.signIn(t)
	turns := []struct {
		who     string
		refresh func() string
	}{
		{"MSAL Go", func() string { return s.silent(t, true) }},
		{"MSAL Python", func() string { token, _ := s.refreshInPython(t); return token }},
		{"this collection", func() string { return s.refresh(t) }},
	}
	tokens := map[string]bool{}
	for round := range rounds {
		nextSecond()
		turn := turns[round%len(turns)]
		token := turn.refresh()
		if token == "" || tokens[token] {
			t.Fatalf("round %d: %s has no new token", round, turn.who)
		}
		tokens[token] = true
		// Whoever comes next finds one refresh token and one access token, the last one's.
		c, _ := load(t, s.store, record)
		if at, _ := c.AccessToken(tokencache.Query{Username: entra.Ana, Scopes: scopes}); at.Secret.Reveal() != token {
			t.Fatalf("round %d: after %s refreshed, the record has another access token", round, turn.who)
		}
		if g := s.idp.Grants(); g.ReuseDetected != 0 || g.RefreshesSucceeded != round+1 {
			t.Fatalf("round %d: after %s, %d refreshes, %d spent tokens sent again", round, turn.who, g.RefreshesSucceeded, g.ReuseDetected)
		}
		if turn.who != "MSAL Python" {
			wantOneOfEach(t, readFile(t, s.dir, record))
		}
	}
}

func TestMSALPythonWritesInThePlaceOfWhatPutWrote(t *testing.T) {
	s := newShared(t)
	s.signIn(t)
	nextSecond()
	s.refresh(t)
	nextSecond()
	if token, refusal := s.refreshInPython(t); token == "" {
		t.Fatal(refusal)
	}
	wantOneOfEach(t, readFile(t, s.dir, record))
}

// The turns above fail without this collection: MSAL Python prefers a refresh
// token with a stamp, which MSAL Go's don't have.
func TestTwoMSALsAloneSpendATokenTwice(t *testing.T) {
	s := newShared(t)
	s.signIn(t)
	nextSecond()
	if token, refusal := s.refreshInPython(t); token == "" {
		t.Fatal(refusal)
	}
	// MSAL Go takes one of the two refresh tokens there are, by chance.
	nextSecond()
	app := s.msalGo(t)
	accounts, err := app.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.AcquireTokenSilent(t.Context(), scopes, public.WithSilentAccount(accounts[0]), public.WithClaims(`{}`))
	if err == nil {
		if token, _ := s.refreshInPython(t); token != "" {
			t.Error("MSAL Python refreshed: this collection's pains have become needless")
		}
	}
	if g := s.idp.Grants(); g.ReuseDetected == 0 {
		t.Errorf("no token was spent twice, but MSAL Go says %v", err)
	}
}

func wantOneOfEach(t *testing.T, data []byte) {
	t.Helper()
	var d map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata"} {
		if len(d[name]) != 1 {
			t.Errorf("%d entries in %s", len(d[name]), name)
		}
	}
}

func TestMSALGoGoesOnWithARecordThatWasCollapsed(t *testing.T) {
	s := newShared(t)
	s.signIn(t)
	nextSecond()
	token, _ := s.refreshInPython(t) // now there are two of each
	c, v := load(t, s.store, record)
	if _, err := s.store.Save(t.Context(), record, c, v); err != nil {
		t.Fatal(err)
	}
	wantOneOfEach(t, readFile(t, s.dir, record)) // under Python's keys
	if got := s.silent(t, false); got != token {
		t.Error("MSAL Go doesn't find Python's access token")
	}
	if got := s.silent(t, true); got == token || got == "" {
		t.Error("MSAL Go has no new token")
	}
	if g := s.idp.Grants(); g.ReuseDetected != 0 || g.RefreshesSucceeded != 2 {
		t.Errorf("%d refreshes, %d spent tokens sent again", g.RefreshesSucceeded, g.ReuseDetected)
	}
}

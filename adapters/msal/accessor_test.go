package msal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msalpublic "github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// accessed is a backend that counts how often it is asked, and fails when told to.
type accessed struct {
	core.TokenBackend
	loads, saves atomic.Int64
	failing      atomic.Pointer[error]
	latency      time.Duration // of a load
}

func newAccessed(t testing.TB) *accessed { return &accessed{TokenBackend: newMemory(t)} }

func (b *accessed) Unwrap() core.TokenBackend { return b.TokenBackend }

func (b *accessed) fail(err error) { b.failing.Store(&err) }

func (b *accessed) outage() error {
	if err := b.failing.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *accessed) Load(ctx context.Context, key string) (core.Record, error) {
	b.loads.Add(1)
	time.Sleep(b.latency)
	if err := b.outage(); err != nil {
		return core.Record{}, err
	}
	return b.TokenBackend.Load(ctx, key)
}

func (b *accessed) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	b.saves.Add(1)
	if err := b.outage(); err != nil {
		return "", err
	}
	return b.TokenBackend.Save(ctx, key, rec)
}

var errOutage = errors.New("connection refused")

// own is an MSAL client of the program's own, with an accessor.
func own(t testing.TB, idp *entra.Server, a cache.ExportReplace) msalpublic.Client {
	t.Helper()
	c, err := msalpublic.New(entra.PublicClient, msalpublic.WithAuthority(common),
		msalpublic.WithHTTPClient(idp.HTTPClient()), msalpublic.WithCache(a))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ownConfidential(t testing.TB, idp *entra.Server, a cache.ExportReplace) confidential.Client {
	t.Helper()
	secret, err := confidential.NewCredFromSecret(entra.ConfidentialSecret)
	if err != nil {
		t.Fatal(err)
	}
	c, err := confidential.New("https://login.microsoftonline.com/"+entra.Tenant, entra.ConfidentialClient, secret,
		confidential.WithHTTPClient(idp.HTTPClient()), confidential.WithCache(a))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ownSignIn(t testing.TB, idp *entra.Server, c msalpublic.Client, username string) msalpublic.Account {
	t.Helper()
	address, err := c.AuthCodeURL(t.Context(), entra.PublicClient, localhost, scopes, msalpublic.WithLoginHint(username))
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.AcquireTokenByAuthCode(t.Context(), codeOf(t, idp, username, address), localhost, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return result.Account
}

func codeOf(t testing.TB, idp *entra.Server, username, address string) string {
	t.Helper()
	redirect, err := idp.SignInAs(username, address)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(redirect)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("code")
}

func silently(t testing.TB, c msalpublic.Client, account msalpublic.Account, opts ...msalpublic.AcquireSilentOption) string {
	t.Helper()
	result, err := c.AcquireTokenSilent(t.Context(), scopes, append(opts, msalpublic.WithSilentAccount(account))...)
	if err != nil {
		t.Fatal(err)
	}
	return result.AccessToken
}

// refreshing has MSAL pass over its cached token.
var refreshing = msalpublic.WithClaims("{}")

func stored(t testing.TB, b core.TokenBackend, key string) *tokencache.Cache {
	t.Helper()
	c, _, err := core.NewStore(b).Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPublicClientFindsItsSignInWhateverMSALsPartitionKey(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	account := ownSignIn(t, idp, own(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{})), ana)
	later := own(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{}))
	accounts, err := later.Accounts(t.Context())
	if err != nil || len(accounts) != 1 || accounts[0].HomeAccountID != account.HomeAccountID {
		t.Fatal(accounts, err)
	}
	first := silently(t, later, account)
	if second := silently(t, later, account, refreshing); first == second || idp.Grants().RefreshesSucceeded != 1 {
		t.Fatalf("the token is the same, or %d refreshes", idp.Grants().RefreshesSucceeded)
	}
	// A strict provider: the refresh token that was stored is the one it gave last.
	silently(t, own(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{})), account, refreshing)
}

func TestAConfidentialClientHasARecordPerPartition(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	accessor := func() *msal.Accessor {
		return msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{Record: msal.RecordPerPartition("web ")})
	}
	c := ownConfidential(t, idp, accessor())
	accounts := make(map[string]confidential.Account)
	for _, username := range []string{ana, bo} {
		address, err := c.AuthCodeURL(t.Context(), entra.ConfidentialClient, localhost, scopes, confidential.WithLoginHint(username))
		if err != nil {
			t.Fatal(err)
		}
		result, err := c.AcquireTokenByAuthCode(t.Context(), codeOf(t, idp, username, address), localhost, scopes)
		if err != nil {
			t.Fatal(err)
		}
		accounts[username] = result.Account
	}
	if _, err := c.AcquireTokenByCredential(t.Context(), []string{graphApp}); err != nil {
		t.Fatal(err)
	}
	app := "web " + entra.ConfidentialClient + "_" + entra.Tenant + "_AppTokenCache"
	for username, account := range accounts {
		record := stored(t, b, "web "+account.HomeAccountID)
		if users := record.Accounts(); len(users) != 1 || users[0].Username != username || !record.LongLived(tokencache.Query{Username: username}) {
			t.Errorf("the record of %s has %v", username, users)
		}
	}
	if _, ok := stored(t, b, app).AccessToken(tokencache.Query{App: true}); !ok {
		t.Errorf("the application's record has %v", stored(t, b, app))
	}
	asked := idp.Grants().Total.Received
	later := ownConfidential(t, idp, accessor())
	for range 2 {
		for _, account := range accounts {
			if _, err := later.AcquireTokenSilent(t.Context(), scopes, confidential.WithSilentAccount(account)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := later.AcquireTokenByCredential(t.Context(), []string{graphApp}); err != nil {
			t.Fatal(err)
		}
	}
	if n := idp.Grants().Total.Received - asked; n != 0 {
		t.Errorf("the provider was asked %d times for what is stored", n)
	}
	if err := later.RemoveAccount(t.Context(), accounts[ana]); err == nil || !strings.Contains(err.Error(), "AccessorOptions.Record") {
		t.Errorf("a call without a partition: %v", err)
	}
}

func TestTheRecordOfACallCanComeFromItsContext(t *testing.T) {
	type user struct{}
	idp, b := start(t, entra.Options{}), newMemory(t)
	a := msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{Record: func(ctx context.Context, _ string) string {
		return ctx.Value(user{}).(string)
	}})
	c := own(t, idp, a)
	for _, username := range []string{ana, bo} {
		ctx := context.WithValue(t.Context(), user{}, username)
		address, err := c.AuthCodeURL(ctx, entra.PublicClient, localhost, scopes, msalpublic.WithLoginHint(username))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.AcquireTokenByAuthCode(ctx, codeOf(t, idp, username, address), localhost, scopes); err != nil {
			t.Fatal(err)
		}
	}
	for _, username := range []string{ana, bo} {
		if users := stored(t, b, username).Accounts(); len(users) != 1 || users[0].Username != username {
			t.Errorf("the record of %s has %v", username, users)
		}
	}
}

// given is a client's cache that counts what it is given.
type given struct {
	document string
	times    int
}

func (g *given) Unmarshal(data []byte) error {
	g.document, g.times = string(data), g.times+1
	return nil
}

func (g *given) Marshal() ([]byte, error) { return []byte(g.document), nil }

func (g *given) has(t testing.TB, username string) bool {
	t.Helper()
	c, err := tokencache.Parse([]byte(g.document))
	if err != nil {
		t.Fatal(err)
	}
	return c.LongLived(tokencache.Query{Username: username})
}

func replace(t testing.TB, a *msal.Accessor, u cache.Unmarshaler, partitionKey string) {
	t.Helper()
	if err := a.Replace(t.Context(), u, cache.ReplaceHints{PartitionKey: partitionKey}); err != nil {
		t.Fatal(err)
	}
}

func export(t testing.TB, a *msal.Accessor, m cache.Marshaler, partitionKey string) {
	t.Helper()
	if err := a.Export(t.Context(), m, cache.ExportHints{PartitionKey: partitionKey}); err != nil {
		t.Fatal(err)
	}
}

// answer is what a provider gives a user now.
func answerFor(username, refreshToken string) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken: "at " + refreshToken, RefreshToken: refreshToken, Scope: "User.Read", ExpiresIn: 3600,
		ClientID: entra.PublicClient, Tenant: "common", HomeAccountID: username + ".home", Username: username, GrantType: "authorization_code",
	}
}

func put(t testing.TB, s *core.Store, key string, r tokencache.TokenResponse) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, r); err != nil {
		t.Fatal(err)
	}
}

func TestARecordIsGivenOnceToEachClientWhileItIsUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccessed(t)
		s := core.NewStore(b)
		put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
		a := msal.NewAccessor(s, msal.AccessorOptions{})
		clients := []*given{{}, {}}
		for range 10 {
			for _, hint := range []string{"", ana + ".home"} {
				for _, c := range clients {
					replace(t, a, c, hint)
				}
			}
		}
		if loads := b.loads.Swap(0); loads != 1+2 { // the sign-in's, and one for each client
			t.Errorf("the record was read %d times", loads)
		}
		for range 10 {
			time.Sleep(msal.DefaultMaxAge)
			for _, c := range clients {
				replace(t, a, c, ana+".home")
			}
		}
		if loads := b.loads.Load(); loads != 2*10 {
			t.Errorf("in ten seconds the record was read %d times", loads)
		}
		for _, c := range clients {
			if c.times != 1 {
				t.Errorf("a client was given the record %d times", c.times)
			}
		}
	})
}

func TestAChangeByThisProcessIsGivenAtOnce(t *testing.T) {
	b := newMemory(t)
	put(t, core.NewStore(b), msal.DefaultRecord, answerFor(ana, "rt1"))
	a, c := msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{}), new(given)
	replace(t, a, c, "")
	put(t, core.NewStore(b), msal.DefaultRecord, answerFor(bo, "rt2"))
	if replace(t, a, c, ""); !c.has(t, bo) {
		t.Error("a sign-in is not seen")
	}
	if err := core.NewStore(b).Delete(t.Context(), msal.DefaultRecord); err != nil {
		t.Fatal(err)
	}
	if replace(t, a, c, ""); c.has(t, ana) {
		t.Error("a deletion is not seen")
	}
}

func TestAChangeByAnotherProcessIsGivenWithinMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newMemory(t)
		put(t, core.NewStore(b), msal.DefaultRecord, answerFor(ana, "rt1"))
		a, c := msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{}), new(given)
		replace(t, a, c, "")
		rec, err := b.Load(t.Context(), msal.DefaultRecord)
		if err != nil {
			t.Fatal(err)
		}
		rec.Data = core.Data(strings.ReplaceAll(string(rec.Data), "rt1", "rt2"))
		if _, err := b.Save(t.Context(), msal.DefaultRecord, rec); err != nil { // past every Store
			t.Fatal(err)
		}
		time.Sleep(msal.DefaultMaxAge)
		if replace(t, a, c, ""); !strings.Contains(c.document, "rt2") {
			t.Error("the change is not seen")
		}
	})
}

func TestAClientThatCallsOftenDoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccessed(t)
		put(t, core.NewStore(b), msal.DefaultRecord, answerFor(ana, "rt1"))
		a, c := msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{}), new(given)
		replace(t, a, c, ana+".home")
		b.latency = 200 * time.Millisecond
		for call := range 100 {
			time.Sleep(100 * time.Millisecond)
			if call == 50 {
				rec, err := b.TokenBackend.Load(t.Context(), msal.DefaultRecord)
				if err != nil {
					t.Fatal(err)
				}
				rec.Data = core.Data(strings.ReplaceAll(string(rec.Data), "rt1", "rt2"))
				if _, err := b.TokenBackend.Save(t.Context(), msal.DefaultRecord, rec); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			if replace(t, a, c, ana+".home"); time.Since(began) > 0 && call < 50 {
				t.Fatalf("call %d took %s", call, time.Since(began))
			}
		}
		if c.times != 2 || !strings.Contains(c.document, "rt2") {
			t.Errorf("the client was given the record %d times", c.times)
		}
	})
}

// Before MSAL spends a refresh token, another process may have.
func TestEveryCallLooksAtTheRecordOnceTheUsersTokensAreDue(t *testing.T) {
	for name, row := range map[string]struct {
		response func(*tokencache.TokenResponse)
		after    time.Duration
		query    string
	}{
		"the access token has five minutes left": {func(*tokencache.TokenResponse) {}, 55 * time.Minute, ana + ".home"},
		"the provider wants it refreshed":        {func(r *tokencache.TokenResponse) { r.RefreshIn = 600 }, 10 * time.Minute, ana + ".home"},
		"the application's has five minutes left": {func(r *tokencache.TokenResponse) {
			*r = tokencache.TokenResponse{AccessToken: "app", Scope: graphApp, ExpiresIn: 3600, ClientID: "app", Tenant: "t", GrantType: "client_credentials"}
		}, 55 * time.Minute, "app_t_AppTokenCache"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newAccessed(t)
				s := core.NewStore(b)
				r := answerFor(ana, "rt1")
				row.response(&r)
				put(t, s, msal.DefaultRecord, r)
				a, c := msal.NewAccessor(s, msal.AccessorOptions{MaxAge: 2 * time.Hour}), new(given)
				replace(t, a, c, row.query)
				time.Sleep(row.after - time.Second)
				b.loads.Store(0)
				for range 3 {
					replace(t, a, c, row.query)
				}
				if loads := b.loads.Load(); loads != 0 {
					t.Errorf("before, the record was read %d times", loads)
				}
				time.Sleep(time.Second)
				for range 3 {
					replace(t, a, c, row.query)
				}
				if loads := b.loads.Load(); loads != 3 {
					t.Errorf("for three calls the record was read %d times", loads)
				}
			})
		})
	}
}

func TestAnExportIsMergedWithWhatOthersStored(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	account := ownSignIn(t, idp, own(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{})), ana)
	conflict := &interrupted{TokenBackend: b}
	c := own(t, idp, msal.NewAccessor(core.NewStore(conflict), msal.AccessorOptions{}))
	conflict.beforeSave = func() { put(t, core.NewStore(b), msal.DefaultRecord, answerFor("eve@contoso.com", "rt eve")) }
	silently(t, c, account, refreshing)
	// Single-use refresh tokens: ana's is the new one.
	silently(t, own(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{})), account, refreshing)
	if users := stored(t, b, msal.DefaultRecord).Accounts(); len(users) != 2 {
		t.Errorf("signed in are %v", users)
	}
}

// interrupted is a backend where somebody else saves first.
type interrupted struct {
	core.TokenBackend
	beforeSave func()
}

func (b *interrupted) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if hook := b.beforeSave; hook != nil {
		b.beforeSave = nil
		hook()
	}
	return b.TokenBackend.Save(ctx, key, rec)
}

func TestASignOutElsewhereWinsOverARefresh(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	store := core.NewStore(b)
	account := ownSignIn(t, idp, own(t, idp, msal.NewAccessor(store, msal.AccessorOptions{})), ana)
	interrupting := &interrupted{TokenBackend: b}
	c := own(t, idp, msal.NewAccessor(core.NewStore(interrupting), msal.AccessorOptions{}))
	interrupting.beforeSave = func() {
		err := store.Update(t.Context(), msal.DefaultRecord, func(c *tokencache.Cache) error {
			c.Remove(tokencache.Query{Username: ana})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	silently(t, c, account, refreshing)
	if accounts, err := c.Accounts(t.Context()); err != nil || len(accounts) != 0 {
		t.Errorf("signed in are %v, %v", accounts, err)
	}
}

func TestAnEmptyExportChangesNothing(t *testing.T) {
	const empty = `{"AccessToken":{},"RefreshToken":{},"IdToken":{},"Account":{},"AppMetadata":{}}`
	for name, prepare := range map[string]func(*testing.T, *msal.Accessor, *given){
		"of a cache that was given nothing":    func(*testing.T, *msal.Accessor, *given) {},
		"of a cache that was given the record": func(t *testing.T, a *msal.Accessor, c *given) { replace(t, a, c, "") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newMemory(t)
			s := core.NewStore(b)
			put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
			a, c := msal.NewAccessor(s, msal.AccessorOptions{}), new(given)
			prepare(t, a, c)
			c.document = empty
			export(t, a, c, "some hash")
			if !stored(t, b, msal.DefaultRecord).LongLived(tokencache.Query{Username: ana}) {
				t.Error("ana is gone")
			}
		})
	}
}

// MSAL Go writes a refresh token beside one that stands under another library's key, and
// then spends either of the two: a strict provider revokes the sign-in. Through the
// accessor there is one.
func TestAnMSALClientAndATokenSourceRefreshOneRecordInTurns(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	store := core.NewStore(b)
	ours := public(t, newWire(idp), common)
	if err := store.Update(t.Context(), msal.DefaultRecord, func(c *tokencache.Cache) error {
		return trySignIn(t.Context(), idp, ours, c, ana)
	}); err != nil {
		t.Fatal(err)
	}
	theirs := own(t, idp, msal.NewAccessor(store, msal.AccessorOptions{}))
	accounts, err := theirs.Accounts(t.Context())
	if err != nil || len(accounts) != 1 {
		t.Fatal(accounts, err)
	}
	source := ours.TokenSource(store, msal.DefaultRecord, query(ana))
	for range 10 {
		silently(t, theirs, accounts[0], refreshing)
		silently(t, theirs, accounts[0], refreshing)
		if _, err := source.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACacheOfAnotherRecordIsNotExported(t *testing.T) {
	b := newMemory(t)
	s := core.NewStore(b)
	put(t, s, ana+".home", answerFor(ana, "rt1"))
	a, c := msal.NewAccessor(s, msal.AccessorOptions{Record: msal.RecordPerPartition("")}), new(given)
	replace(t, a, c, ana+".home")
	export(t, a, c, "the hash of an assertion")
	if ok, err := s.Check(t.Context(), "the hash of an assertion"); ok || err != nil {
		t.Errorf("ana's tokens are in another's record: %v", err)
	}
	if replace(t, a, c, bo+".home"); c.has(t, ana) {
		t.Error("bo is given ana's tokens")
	}
}

func TestCallsOnBehalfOfUsersLeaveRecordsAlone(t *testing.T) {
	for name, record := range map[string]func(context.Context, string) string{
		"in one record":            nil,
		"in a record of their own": msal.RecordPerPartition(""),
	} {
		t.Run(name, func(t *testing.T) {
			idp, b := start(t, entra.Options{}), newAccessed(t)
			c := ownConfidential(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{Record: record}))
			if _, err := c.AcquireTokenByCredential(t.Context(), []string{graphApp}); err != nil {
				t.Fatal(err)
			}
			saves := b.saves.Load()
			assertions := make(map[string]string)
			for _, username := range []string{ana, bo} {
				api := public(t, newWire(idp), common)
				cache := tokencache.New()
				signIn(t, idp, api, cache, username)
				q := tokencache.Query{Username: username, Scopes: []string{"api://" + entra.ConfidentialClient + "/access"}}
				if err := api.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
					t.Fatal(err)
				}
				assertions[username] = accessToken(t, cache, q).Secret.Reveal()
			}
			asked := idp.Grants().Total.Received
			for range 3 {
				for _, assertion := range assertions {
					if _, err := c.AcquireTokenOnBehalfOf(t.Context(), assertion, scopes); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n := idp.Grants().Total.Received - asked; n != 2 {
				t.Errorf("the provider was asked %d times for two users", n)
			}
			if b.saves.Load() != saves {
				t.Error("a record was saved")
			}
			if _, err := c.AcquireTokenByCredential(t.Context(), []string{graphApp}); err != nil || idp.Grants().Total.Received-asked != 2 {
				t.Errorf("the application's token is gone: %v", err)
			}
		})
	}
}

func TestMSALsSignOutIsStored(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	c := own(t, idp, msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{}))
	accounts := []msalpublic.Account{ownSignIn(t, idp, c, ana), ownSignIn(t, idp, c, bo)}
	for left := 1; left >= 0; left-- {
		if err := c.RemoveAccount(t.Context(), accounts[left]); err != nil {
			t.Fatal(err)
		}
		if users := stored(t, b, msal.DefaultRecord).Accounts(); len(users) != left {
			t.Errorf("signed in are %v", users)
		}
	}
}

func TestMSALsSignInAndSignOutLeaveOthersEntriesAsTheyWere(t *testing.T) {
	idp := start(t, entra.Options{})
	s := core.NewStore(newMemory(t))
	data, err := os.ReadFile("../../core/tokencache/testdata/python-o365/o365_token.txt")
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.Replace(string(data), `"AppMetadata"`, `"Unknown": {"section": {"field": null}}, "AppMetadata"`, 1))
	python, err := tokencache.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), msal.DefaultRecord, python, core.Absent); err != nil {
		t.Fatal(err)
	}
	c := own(t, idp, msal.NewAccessor(s, msal.AccessorOptions{}))
	if err := c.RemoveAccount(t.Context(), ownSignIn(t, idp, c, bo)); err != nil {
		t.Fatal(err)
	}
	after, _, err := s.Load(t.Context(), msal.DefaultRecord)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]map[string]map[string]any
	if err := errors.Join(json.Unmarshal(data, &want), json.Unmarshal([]byte(document(t, after)), &got)); err != nil {
		t.Fatal(err)
	}
	for section, entries := range want {
		for key, entry := range entries {
			if !reflect.DeepEqual(got[section][key], entry) {
				t.Errorf("%s %s is %v, was %v", section, key, got[section][key], entry)
			}
		}
	}
}

func TestAnOutageOfTheStoreLeavesAClientItsGoodTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccessed(t)
		s := core.NewStore(b)
		put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
		a, c := msal.NewAccessor(s, msal.AccessorOptions{}), new(given)
		replace(t, a, c, ana+".home")
		b.fail(errOutage)
		time.Sleep(time.Minute)
		b.loads.Store(0)
		for range 10 {
			replace(t, a, c, ana+".home")
		}
		if loads := b.loads.Load(); loads != 1 {
			t.Errorf("the store that is down was asked %d times", loads)
		}
		if err := a.Replace(t.Context(), new(given), cache.ReplaceHints{}); !errors.Is(err, errOutage) {
			t.Errorf("a client that has nothing: %v", err)
		}
		time.Sleep(time.Hour)
		if err := a.Replace(t.Context(), c, cache.ReplaceHints{PartitionKey: ana + ".home"}); !errors.Is(err, errOutage) {
			t.Errorf("tokens that are due: %v", err)
		}
	})
}

func TestACallThatIsCancelledReadsNothing(t *testing.T) {
	b := newAccessed(t)
	put(t, core.NewStore(b), msal.DefaultRecord, answerFor(ana, "rt1"))
	a, known := msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{}), new(given)
	replace(t, a, known, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.loads.Store(0)
	for what, c := range map[string]*given{"a new client": {}, "a client that has the record": known} {
		if err := a.Replace(ctx, c, cache.ReplaceHints{}); !errors.Is(err, context.Canceled) || b.loads.Load() != 0 {
			t.Errorf("%s: %v, read %d times", what, err, b.loads.Load())
		}
	}
}

func TestTokensThatCanNotBeSavedAreKeptAndASignOutIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccessed(t)
		s := core.NewStore(b)
		put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
		a, c := msal.NewAccessor(s, msal.AccessorOptions{}), new(given)
		replace(t, a, c, ana+".home")
		b.fail(errOutage)
		time.Sleep(time.Second)
		c.document = strings.ReplaceAll(c.document, "rt1", "rt2")
		export(t, a, c, ana+".home")
		signedOut := tokencache.New()
		if err := a.Export(t.Context(), &given{document: document(t, signedOut)}, cache.ExportHints{}); err != nil {
			t.Fatal(err) // of a cache that has nothing
		}
		replace(t, a, c, ana+".home")
		parsed, err := tokencache.Parse([]byte(c.document))
		if err != nil {
			t.Fatal(err)
		}
		parsed.Remove(tokencache.Query{Username: ana})
		c.document = document(t, parsed)
		if err := a.Export(t.Context(), c, cache.ExportHints{}); !errors.Is(err, core.ErrRefreshedNotSaved) {
			t.Errorf("a sign-out that is not stored: %v", err)
		}
		b.fail(nil)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestUnsavedTokensOfAnExportAreStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccessed(t)
		s := core.NewStore(b)
		put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
		a, c := msal.NewAccessor(s, msal.AccessorOptions{}), new(given)
		replace(t, a, c, ana+".home")
		b.fail(errOutage)
		ctx, leave := context.WithCancel(t.Context())
		leave()
		c.document = strings.ReplaceAll(c.document, "rt1", "rt2")
		if err := a.Export(ctx, c, cache.ExportHints{}); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller has left: %v", err)
		}
		synctest.Wait()
		b.fail(nil)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rt := refreshToken(t, stored(t, b, msal.DefaultRecord), tokencache.Query{Username: ana}); rt != "rt2" {
			t.Errorf("stored is %s", rt)
		}
	})
}

func TestAnAccessorForgetsClientsThatAreGone(t *testing.T) {
	b := newMemory(t)
	s := core.NewStore(b)
	put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
	a := msal.NewAccessor(s, msal.AccessorOptions{})
	for range 100 {
		replace(t, a, new(given), "")
	}
	testkit.Retry(t, "the accessor forgets the clients", func() error {
		runtime.GC()
		if n := msal.Known(a); n > 0 {
			return fmt.Errorf("%d of them are known", n)
		}
		return nil
	})
}

func TestAGoodTokenTakesTheAccessorNoAllocation(t *testing.T) {
	s := core.NewStore(newMemory(t))
	put(t, s, msal.DefaultRecord, answerFor(ana, "rt1"))
	a, c := msal.NewAccessor(s, msal.AccessorOptions{MaxAge: time.Hour}), new(given)
	ctx, hints := t.Context(), cache.ReplaceHints{PartitionKey: ana + ".home"}
	if n := testing.AllocsPerRun(100, func() {
		if err := a.Replace(ctx, c, hints); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestManyClientsMayShareAnAccessor(t *testing.T) {
	idp, b := start(t, entra.Options{}), newMemory(t)
	a := msal.NewAccessor(core.NewStore(b), msal.AccessorOptions{MaxAge: time.Millisecond})
	account := ownSignIn(t, idp, own(t, idp, a), ana)
	var all sync.WaitGroup
	for range 4 {
		c := own(t, idp, a)
		for range 4 {
			all.Go(func() {
				for range 50 {
					if _, err := c.AcquireTokenSilent(t.Context(), scopes, msalpublic.WithSilentAccount(account)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Go(func() {
		for range 20 {
			put(t, core.NewStore(b), msal.DefaultRecord, answerFor(bo, "rt"))
		}
	})
	all.Wait()
}

package interop

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

const (
	tenantID = "cccccccc-0000-0000-0000-000000000000"
	anaHome  = "aaaaaaaa-0000-0000-0000-000000000001." + tenantID
	boHome   = "aaaaaaaa-0000-0000-0000-000000000002." + tenantID
	clientID = "11111111-2222-3333-4444-555555555555"
)

var (
	ana = tokencache.Query{Username: "ana@contoso.com"}
	bo  = tokencache.Query{Username: "Bo@Contoso.com"}
	// noon is when python-o365 wrote the files in testdata.
	noon = time.Unix(1_700_000_000, 0)
)

// user is what python-o365 finds for one user.
type user struct {
	Access, Refresh, Home string
	Scopes                []string
	LongLived             bool `json:"long_lived"`
}

func wantUser(t *testing.T, users map[string]user, name string, want user) {
	t.Helper()
	got, ok := users[name]
	if !ok || got.Access != want.Access || got.Refresh != want.Refresh || got.Home != want.Home || got.LongLived != (want.Refresh != "") {
		t.Errorf("python-o365 finds for %q: %+v, want %+v", name, got, want)
	}
	if slices.Sort(got.Scopes); !slices.Equal(got.Scopes, want.Scopes) {
		t.Errorf("python-o365 finds for %q the scopes %q, want %q", name, got.Scopes, want.Scopes)
	}
}

func o365(t *testing.T, more ...string) script {
	t.Helper()
	return newScript(t, append(more, "PEER_NOW=1700000000", "PEER_USER=ana@contoso.com",
		"PEER_CLIENT_INFO="+base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"`+anaHome[:36]+`","utid":"`+tenantID+`"}`)))...)
}

func load(t *testing.T, s *core.Store, key string) (*tokencache.Cache, core.Version) {
	t.Helper()
	c, v, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return c, v
}

// refreshBo files a refresh of bo's, who has no refresh token in the file.
func refreshBo(_ context.Context, c *tokencache.Cache) error {
	return c.Put(tokencache.TokenResponse{
		AccessToken: "at-go", RefreshToken: "rt-go", Scope: "User.Read openid profile", ExpiresIn: 3599,
		ClientID: clientID, Tenant: "common", HomeAccountID: boHome, Sent: noon, GrantType: "refresh_token",
	})
}

var (
	mail    = []string{"Mail.ReadWrite", "User.Read"}
	onlyMe  = []string{"User.Read"}
	anaUser = user{Access: "at-ana", Refresh: "rt-ana", Home: anaHome, Scopes: mail}
	boUser  = user{Access: "at-bo", Home: boHome, Scopes: onlyMe}
)

func TestPythonO365AndTheFilesystemBackendShareAFile(t *testing.T) {
	dir := t.TempDir()
	p := o365(t, "PEER_DIR="+dir, "PEER_NAME="+filesystem.DefaultKey)
	original := readFile(t, "testdata", "python-o365", filesystem.DefaultKey)
	writeFile(t, original, dir, filesystem.DefaultKey)
	backend, err := filesystem.New(dir, filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend)
	path := func() []byte { return readFile(t, dir, filesystem.DefaultKey) }

	// Go loads by key, and saves.
	c, v := load(t, store, filesystem.DefaultKey)
	wantTokens(t, c, ana, "at-ana", "rt-ana")
	wantTokens(t, c, bo, "at-bo", "")
	if _, err := store.Save(t.Context(), filesystem.DefaultKey, c, v); err != nil {
		t.Fatal(err)
	}
	wantSame(t, path(), original)
	var users map[string]user
	p.run(t, "o365_file", &users)
	wantUser(t, users, "ana@contoso.com", anaUser)
	wantUser(t, users, "bo@contoso.com", boUser)

	// Go changes it.
	if err := store.Update(t.Context(), filesystem.DefaultKey, func(c *tokencache.Cache) error { return refreshBo(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	p.run(t, "o365_file", &users)
	wantUser(t, users, "ana@contoso.com", anaUser)
	wantUser(t, users, "bo@contoso.com", user{Access: "at-go", Refresh: "rt-go", Home: boHome, Scopes: onlyMe})

	// Python changes it.
	p.run(t, "o365_file_refresh", &users)
	wantUser(t, users, "ana@contoso.com", user{Access: "at-python", Refresh: "rt-python", Home: anaHome, Scopes: mail})
	c, _ = load(t, store, filesystem.DefaultKey)
	wantTokens(t, c, ana, "at-python", "rt-python")
	wantTokens(t, c, bo, "at-go", "rt-go")
}

func TestPythonO365FindsTheApplicationsTokenThatGoSaved(t *testing.T) {
	const key = "client_credentials.txt"
	dir := t.TempDir()
	p := o365(t, "PEER_DIR="+dir, "PEER_NAME="+key)
	original := readFile(t, "testdata", "python-o365", key)
	writeFile(t, original, dir, key)
	backend, err := filesystem.New(dir, filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend)
	c, v := load(t, store, key)
	app := tokencache.Query{App: true, Scopes: []string{"https://graph.microsoft.com/.default"}}
	wantTokens(t, c, app, "at-app", "")
	if _, err := store.Save(t.Context(), key, c, v); err != nil {
		t.Fatal(err)
	}
	wantSame(t, readFile(t, dir, key), original)
	var users map[string]user
	p.run(t, "o365_file", &users)
	want := user{Access: "at-app", Scopes: []string{"https://graph.microsoft.com/.default"}}
	wantUser(t, users, "", want)

	err = store.Update(t.Context(), key, func(c *tokencache.Cache) error {
		return c.Put(tokencache.TokenResponse{AccessToken: "at-go", Scope: app.Scopes[0], ExpiresIn: 3599, ClientID: clientID, Tenant: "my-tenant", Sent: noon})
	})
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, "o365_file", &users)
	want.Access = "at-go"
	wantUser(t, users, "", want)
}

func TestPythonO365AndTheEnvBackendShareAVariable(t *testing.T) {
	p := o365(t)
	t.Setenv("O365TOKEN", string(readFile(t, "testdata", "python-o365", "o365_token.txt")))
	backend, err := env.New(env.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend)
	if err := store.Update(t.Context(), "O365TOKEN", func(c *tokencache.Cache) error { return refreshBo(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	var users map[string]user
	p.run(t, "o365_env", &users) // a child process sees what Go saved
	wantUser(t, users, "ana@contoso.com", anaUser)
	wantUser(t, users, "bo@contoso.com", user{Access: "at-go", Refresh: "rt-go", Home: boHome, Scopes: onlyMe})

	var value string
	p.run(t, "o365_env_refresh", &value)
	if err := os.Setenv("O365TOKEN", value); err != nil {
		t.Fatal(err)
	}
	c, _ := load(t, store, "O365TOKEN")
	wantTokens(t, c, ana, "at-python", "rt-python")
	wantTokens(t, c, bo, "at-go", "rt-go")
}

func TestAFernetFileIsNoPlainRecord(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, readFile(t, "testdata", "python-o365", "fernet_token.txt"), dir, "fernet_token.txt")
	backend, err := filesystem.New(dir, filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := core.NewStore(backend).Load(t.Context(), "fernet_token.txt"); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

package azcore_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

const (
	graph  = "https://graph.microsoft.com/.default"
	vault  = "https://vault.azure.net/.default"
	tenant = "99999999-0000-0000-0000-000000000001"
	guest  = "99999999-0000-0000-0000-000000000002"
	anaID  = "aaaaaaaa-0000-0000-0000-000000000001"
	boID   = "bbbbbbbb-0000-0000-0000-000000000001"
	cli    = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // Azure CLI's
)

func newBackend(t testing.TB) *memory.Backend {
	t.Helper()
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, store *core.Store, r tokencache.TokenResponse) {
	t.Helper()
	if _, err := store.Put(t.Context(), "key", r); err != nil {
		t.Fatal(err)
	}
}

// signIn is a sign-in of ana's with some of Graph's scopes.
func signIn(token string) tokencache.TokenResponse {
	return tokencache.TokenResponse{AccessToken: token, RefreshToken: "rt", Scope: "User.Read Mail.Read", ExpiresIn: 3600,
		ClientID: "app", Tenant: "common", HomeAccountID: anaID + "." + tenant, GrantType: "authorization_code"}
}

// jwt is a token with claims.
func jwt(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".sig"
}

// userToken is the n-th token of a user's.
func userToken(objectID, name string, n int) string {
	return jwt(map[string]any{"oid": objectID, "tid": tenant, "appid": cli, "upn": name, "scp": "user_impersonation", "n": n})
}

// fake is an azcore.TokenCredential that numbers its answers.
type fake struct {
	answer func(n int, o policy.TokenRequestOptions) (azcore.AccessToken, error)

	mu    sync.Mutex
	asked []policy.TokenRequestOptions
}

func (f *fake) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	f.mu.Lock()
	f.asked = append(f.asked, o)
	n := len(f.asked)
	f.mu.Unlock()
	return f.answer(n, o)
}

func (f *fake) requests() []policy.TokenRequestOptions {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]policy.TokenRequestOptions(nil), f.asked...)
}

// anas gives tokens of ana's for an hour.
func anas() *fake {
	return &fake{answer: func(n int, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: userToken(anaID, "ana@contoso.com", n), ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}
}

func opaque(n int) string { return "opaque-" + strconv.Itoa(n) }

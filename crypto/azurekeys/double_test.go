package azurekeys_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

const bearer = "the-access-token-of-a-test-0123456789"

// credential hands out one token, or an error.
type credential struct{ err error }

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: bearer, ExpiresOn: time.Now().Add(time.Hour)}, c.err
}

// vault is a double of Key Vault's wrapKey and unwrapKey: RSA keys with versions, and the
// challenge that the SDK asks for its token by.
type vault struct {
	*httptest.Server

	mu     sync.Mutex
	keys   map[string][]version // by name
	status int                  // of every answer, unless it is 0
	code   string
}

type version struct {
	id  string
	key *rsa.PrivateKey
}

func newVault() *vault {
	v := &vault{keys: map[string][]version{}}
	v.Server = httptest.NewTLSServer(v)
	return v
}

// rotate gives a key another version, and makes the key where there is none.
func (v *vault) rotate(name string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[name] = append(v.keys[name], version{hex.EncodeToString(id), key})
}

func (v *vault) refuse(status int, code string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status, v.code = status, code
}

func (v *vault) client(c credential) *azkeys.Client {
	client, err := azkeys.NewClient(v.URL, c, &azkeys.ClientOptions{
		ClientOptions:                        azcore.ClientOptions{Transport: v.Client(), Retry: policy.RetryOptions{MaxRetries: -1}},
		DisableChallengeResourceVerification: true,
	})
	if err != nil {
		panic(err)
	}
	return client
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error": {"code": %q, "message": "no"}}`, code)
	}
	if r.Header.Get("Authorization") != "Bearer "+bearer {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`)
		refuse(http.StatusUnauthorized, "Unauthorized")
		return
	}
	if v.status != 0 {
		refuse(v.status, v.code)
		return
	}
	parts := strings.Split(r.URL.Path, "/") // "", "keys", name, version, operation; the version may be left out
	if len(parts) == 4 {
		parts = slices.Insert(parts, 3, "")
	}
	var q struct{ Alg, Value string }
	if r.Method != http.MethodPost || len(parts) != 5 || parts[1] != "keys" || r.URL.Query().Get("api-version") == "" || json.NewDecoder(r.Body).Decode(&q) != nil {
		refuse(http.StatusMethodNotAllowed, "BadRequest")
		return
	}
	versions := v.keys[parts[2]]
	var found *version
	for i := range versions {
		if versions[i].id == parts[3] || parts[3] == "" {
			found = &versions[i]
		}
	}
	if found == nil {
		refuse(http.StatusNotFound, "KeyNotFound")
		return
	}
	value, err := base64.RawURLEncoding.DecodeString(q.Value)
	if err != nil || q.Alg != "RSA-OAEP-256" {
		refuse(http.StatusBadRequest, "BadParameter")
		return
	}
	var result []byte
	if parts[4] == "wrapkey" {
		result, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &found.key.PublicKey, value, nil)
	} else {
		result, err = rsa.DecryptOAEP(sha256.New(), nil, found.key, value, nil)
	}
	if err != nil {
		refuse(http.StatusBadRequest, "BadParameter")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{
		"kid": v.URL + "/keys/" + parts[2] + "/" + found.id, "value": base64.RawURLEncoding.EncodeToString(result),
	})
}

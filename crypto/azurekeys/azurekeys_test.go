package azurekeys_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/azurekeys"
	"github.com/graphtoken/graphtoken/internal/testkit/keyservicetest"
)

func newKey(t testing.TB, client *azkeys.Client, name string) *azurekeys.Key {
	k, err := azurekeys.New(client, name, azurekeys.Options{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

func TestConformance(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	v.rotate("other")
	client := v.client(credential{})
	key, other := newKey(t, client, "tokens"), newKey(t, client, "other")
	keyservicetest.Conform(t, key, other, bearer)
}

// TestLive runs on a vault, with two RSA keys in it:
//
//	GRAPHTOKEN_LIVE_KEY_VAULT=https://….vault.azure.net GRAPHTOKEN_LIVE_KEY_VAULT_KEYS=one,two go test -run Live -timeout 30m
//
// The identity is that of azidentity.DefaultAzureCredential. It needs the role "Key Vault Crypto
// Service Encryption User". The suite makes some thousand calls, which cost a cent.
func TestLive(t *testing.T) {
	one, two, ok := strings.Cut(os.Getenv("GRAPHTOKEN_LIVE_KEY_VAULT_KEYS"), ",")
	if !ok {
		t.Skip("GRAPHTOKEN_LIVE_KEY_VAULT_KEYS doesn't name two keys")
	}
	identity, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azkeys.NewClient(os.Getenv("GRAPHTOKEN_LIVE_KEY_VAULT"), identity, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, other := newKey(t, client, one), newKey(t, client, two)
	keyservicetest.Conform(t, key, other, bearer)
}

func TestEachKindOfFailureIsToldFromTheOthers(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  func(v *vault, w *crypto.WrappedKey)
		unwrap string
		wrap   string
	}{
		{"nothing is wrong", func(*vault, *crypto.WrappedKey) {}, "no error", "no error"},
		{"the data key was altered", func(_ *vault, w *crypto.WrappedKey) { w.Data[9] ^= 1 }, "damaged", "no error"},
		{"the data key was cut short", func(_ *vault, w *crypto.WrappedKey) { w.Data = w.Data[:9] }, "damaged", "no error"},
		{"another key wrapped the data key", func(v *vault, w *crypto.WrappedKey) {
			v.rotate("other")
			*w = keyservicetest.Wrap(t, newKey(t, v.client(credential{}), "other"))
		}, "another key's", "no error"},
		{"the record names a key of a stranger's vault", func(_ *vault, w *crypto.WrappedKey) {
			w.KeyID = "https://stranger.vault.azure.net/keys/tokens/" + strings.Repeat("0", 32)
		}, "another key's", "no error"},
		{"the record names no version", func(v *vault, w *crypto.WrappedKey) { w.KeyID = v.URL + "/keys/tokens" }, "another key's", "no error"},
		{"the key is gone", func(v *vault, _ *crypto.WrappedKey) { v.keys = nil }, "denied", "denied"},
		{"the identity may not", func(v *vault, _ *crypto.WrappedKey) { v.refuse(http.StatusForbidden, "Forbidden") }, "denied", "denied"},
		{"there are too many requests", func(v *vault, _ *crypto.WrappedKey) { v.refuse(http.StatusTooManyRequests, "Throttled") }, "unreachable", "unreachable"},
		{"the service has a fault", func(v *vault, _ *crypto.WrappedKey) { v.refuse(http.StatusInternalServerError, "InternalError") }, "unreachable", "unreachable"},
		{"the service is gone", func(v *vault, _ *crypto.WrappedKey) { v.Close() }, "unreachable", "unreachable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVault()
			defer v.Close()
			v.rotate("tokens")
			key := newKey(t, v.client(credential{}), "tokens")
			w := keyservicetest.Wrap(t, key)
			c.fault(v, &w)
			got, err := key.Unwrap(t.Context(), w)
			if keyservicetest.Kind(err) != c.unwrap || err == nil && !bytes.Equal(got, keyservicetest.DataKey) {
				t.Errorf("Unwrap = %x, %v, which is %s; want %s", got, err, keyservicetest.Kind(err), c.unwrap)
			}
			if _, err := key.Wrap(t.Context(), keyservicetest.DataKey); keyservicetest.Kind(err) != c.wrap {
				t.Errorf("Wrap = %v, which is %s; want %s", err, keyservicetest.Kind(err), c.wrap)
			}
		})
	}
}

func TestWithoutATokenTheServiceIsUnreachable(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	failed := errors.New("the metadata service doesn't answer")
	if _, err := newKey(t, v.client(credential{failed}), "tokens").Wrap(t.Context(), keyservicetest.DataKey); keyservicetest.Kind(err) != "unreachable" || !errors.Is(err, failed) {
		t.Errorf("Wrap = %v", err)
	}
}

func TestARotatedKeyUnwrapsWhatItsFormerVersionWrapped(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	key := newKey(t, v.client(credential{}), "Tokens") // names don't differ in case
	v.keys["Tokens"] = v.keys["tokens"]
	first := keyservicetest.Wrap(t, key)
	v.rotate("Tokens")
	second := keyservicetest.Wrap(t, key)
	if first.KeyID == second.KeyID {
		t.Errorf("both versions are %s", first.KeyID)
	}
	for _, w := range []crypto.WrappedKey{first, second} {
		if got, err := key.Unwrap(t.Context(), w); err != nil || !bytes.Equal(got, keyservicetest.DataKey) {
			t.Errorf("%s: %x, %v", w.KeyID, got, err)
		}
	}
}

// stranger wraps with the public part of an RSA key. A vault shows that part to whoever may read keys.
type stranger struct {
	id     string
	public *rsa.PublicKey
	last   []byte
}

func (s *stranger) Wrap(_ context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	s.last = bytes.Clone(dataKey)
	data, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, s.public, dataKey, nil)
	return crypto.WrappedKey{KeyID: s.id, Data: data}, err
}

func (s *stranger) Unwrap(context.Context, crypto.WrappedKey) ([]byte, error) { return s.last, nil }

// The weakness is RSA's and no fault of the package, as its documentation says. If the test
// fails one day, the documentation is out of date.
func TestAPersonWhoKnowsAnRSAKeysPublicPartCanMakeRecords(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	key := newKey(t, v.client(credential{}), "tokens")
	open := func(s crypto.KeyService) *crypto.DataKeys {
		d, err := crypto.NewDataKeys(s, crypto.DataKeyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	planted, err := open(&stranger{id: keyservicetest.Wrap(t, key).KeyID, public: &v.keys["tokens"][0].key.PublicKey}).Encrypt(t.Context(), []byte("planted"), []byte("ana"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(key).Decrypt(t.Context(), planted, []byte("ana")); err != nil || string(got) != "planted" {
		t.Errorf("Decrypt = %q, %v", got, err)
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	v := newVault()
	defer v.Close()
	if k, err := azurekeys.New(nil, "tokens", azurekeys.Options{}); err == nil || k != nil {
		t.Errorf("no client: %v, %v", k, err)
	}
	for _, name := range []string{"", "a/b", v.URL + "/keys/tokens"} {
		if k, err := azurekeys.New(v.client(credential{}), name, azurekeys.Options{}); err == nil || k != nil {
			t.Errorf("the name %q: %v, %v", name, k, err)
		}
	}
}

func TestAKeyPrintsItsNameAlone(t *testing.T) {
	v := newVault()
	defer v.Close()
	key := newKey(t, v.client(credential{}), "tokens")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, key); text != "[Key Vault key tokens]" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

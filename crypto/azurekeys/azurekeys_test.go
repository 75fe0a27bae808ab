package azurekeys_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/azurekeys"
)

// fataler is a *testing.T or the conformance suite's.
type fataler interface {
	Fatalf(format string, args ...any)
}

func newKey(t fataler, client *azkeys.Client, name string) *azurekeys.Key {
	k, err := azurekeys.New(client, name, azurekeys.Options{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

// underTest are data keys with what the suite may ask of them.
type underTest struct {
	*crypto.DataKeys
	other *azurekeys.Key
}

func newUnderTest(t fataler, key, other *azurekeys.Key) core.CryptographyManager {
	d, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return underTest{d, other}
}

func (u underTest) OtherKey(t conformance.T) core.CryptographyManager {
	return newUnderTest(t, u.other, nil)
}

func (u underTest) IsWrongKey(err error) bool { return errors.Is(err, crypto.ErrUnknownKey) }
func (u underTest) Secrets() []string         { return []string{bearer} }

func TestConformance(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	v.rotate("other")
	client := v.client(credential{})
	key, other := newKey(t, client, "tokens"), newKey(t, client, "other")
	conformance.RunCryptography(t, conformance.CryptographyHarness{
		New: func(t conformance.T) core.CryptographyManager { return newUnderTest(t, key, other) },
	})
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
	conformance.RunCryptography(t, conformance.CryptographyHarness{
		New: func(t conformance.T) core.CryptographyManager { return newUnderTest(t, key, other) },
	})
}

// kind says which of the kinds of failure that crypto tells apart an error is.
func kind(err error) string {
	switch {
	case err == nil:
		return "no error"
	case errors.Is(err, core.ErrDecrypt) && errors.Is(err, crypto.ErrKeyDenied):
		return "both damaged and denied"
	case errors.Is(err, crypto.ErrUnknownKey):
		return "another key's"
	case errors.Is(err, core.ErrDecrypt):
		return "damaged"
	case errors.Is(err, crypto.ErrKeyDenied):
		return "denied"
	}
	return "unreachable"
}

var dataKey = bytes.Repeat([]byte{7}, 32)

func wrap(t *testing.T, k *azurekeys.Key) crypto.WrappedKey {
	t.Helper()
	w, err := k.Wrap(t.Context(), dataKey)
	if err != nil {
		t.Fatal(err)
	}
	return w
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
			*w = wrap(t, newKey(t, v.client(credential{}), "other"))
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
			w := wrap(t, key)
			c.fault(v, &w)
			got, err := key.Unwrap(t.Context(), w)
			if kind(err) != c.unwrap || err == nil && !bytes.Equal(got, dataKey) {
				t.Errorf("Unwrap = %x, %v, which is %s; want %s", got, err, kind(err), c.unwrap)
			}
			if _, err := key.Wrap(t.Context(), dataKey); kind(err) != c.wrap {
				t.Errorf("Wrap = %v, which is %s; want %s", err, kind(err), c.wrap)
			}
		})
	}
}

func TestWithoutATokenTheServiceIsUnreachable(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	failed := errors.New("the metadata service doesn't answer")
	if _, err := newKey(t, v.client(credential{failed}), "tokens").Wrap(t.Context(), dataKey); kind(err) != "unreachable" || !errors.Is(err, failed) {
		t.Errorf("Wrap = %v", err)
	}
}

func TestARotatedKeyUnwrapsWhatItsFormerVersionWrapped(t *testing.T) {
	v := newVault()
	defer v.Close()
	v.rotate("tokens")
	key := newKey(t, v.client(credential{}), "Tokens") // names don't differ in case
	v.keys["Tokens"] = v.keys["tokens"]
	first := wrap(t, key)
	v.rotate("Tokens")
	second := wrap(t, key)
	if first.KeyID == second.KeyID {
		t.Errorf("both versions are %s", first.KeyID)
	}
	for _, w := range []crypto.WrappedKey{first, second} {
		if got, err := key.Unwrap(t.Context(), w); err != nil || !bytes.Equal(got, dataKey) {
			t.Errorf("%s: %x, %v", w.KeyID, got, err)
		}
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

package gcpkms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/gcpkms"
)

const ring = "projects/p/locations/l/keyRings/r/cryptoKeys/"

// fataler is a *testing.T or the conformance suite's.
type fataler interface {
	Fatalf(format string, args ...any)
}

func newKey(t fataler, client *kms.KeyManagementClient, name string, o gcpkms.Options) *gcpkms.Key {
	k, err := gcpkms.New(client, name, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

// underTest are data keys with what the suite may ask of them.
type underTest struct {
	*crypto.DataKeys
	other *gcpkms.Key
}

func newUnderTest(t fataler, key, other *gcpkms.Key) core.CryptographyManager {
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

func TestConformance(t *testing.T) {
	d := newDouble()
	defer d.server.Stop()
	d.rotate(ring + "tokens")
	d.rotate(ring + "other")
	client := d.client()
	defer client.Close()
	o := gcpkms.Options{AssociatedData: []byte("tokens of the mail program")}
	key, other := newKey(t, client, ring+"tokens", o), newKey(t, client, ring+"other", o)
	conformance.RunCryptography(t, conformance.CryptographyHarness{
		New: func(t conformance.T) core.CryptographyManager { return newUnderTest(t, key, other) },
	})
}

// TestLive runs on the service itself, with two symmetric keys that are there:
//
//	GRAPHTOKEN_LIVE_CLOUD_KMS_KEYS=projects/…/cryptoKeys/one,projects/…/cryptoKeys/two go test -run Live -timeout 30m
//
// The credentials are the application default ones. They need the role
// roles/cloudkms.cryptoKeyEncrypterDecrypter. The suite makes some thousand calls, which cost a cent.
func TestLive(t *testing.T) {
	one, two, ok := strings.Cut(os.Getenv("GRAPHTOKEN_LIVE_CLOUD_KMS_KEYS"), ",")
	if !ok {
		t.Skip("GRAPHTOKEN_LIVE_CLOUD_KMS_KEYS doesn't name two keys")
	}
	client, err := kms.NewKeyManagementClient(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	key, other := newKey(t, client, one, gcpkms.Options{}), newKey(t, client, two, gcpkms.Options{})
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

func wrap(t *testing.T, k *gcpkms.Key) crypto.WrappedKey {
	t.Helper()
	w, err := k.Wrap(t.Context(), dataKey)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEachKindOfFailureIsToldFromTheOthers(t *testing.T) {
	answer := func(code codes.Code) func(*testing.T, *double, *gcpkms.Options, *crypto.WrappedKey) {
		return func(_ *testing.T, d *double, _ *gcpkms.Options, _ *crypto.WrappedKey) {
			d.fail = status.Error(code, "no")
		}
	}
	for _, c := range []struct {
		name         string
		fault        func(t *testing.T, d *double, o *gcpkms.Options, w *crypto.WrappedKey)
		unwrap, wrap string
	}{
		{"nothing is wrong", func(*testing.T, *double, *gcpkms.Options, *crypto.WrappedKey) {}, "no error", "no error"},
		{"the data key was altered", func(_ *testing.T, _ *double, _ *gcpkms.Options, w *crypto.WrappedKey) { w.Data[9] ^= 1 }, "damaged", "no error"},
		{"the associated data are others", func(_ *testing.T, _ *double, o *gcpkms.Options, _ *crypto.WrappedKey) {
			o.AssociatedData = []byte("a")
		}, "damaged", "no error"},
		{"another key wrapped the data key", func(t *testing.T, d *double, _ *gcpkms.Options, w *crypto.WrappedKey) {
			d.rotate(ring + "other")
			client := d.client()
			defer client.Close()
			*w = wrap(t, newKey(t, client, ring+"other", gcpkms.Options{}))
		}, "another key's", "no error"},
		{"the key is gone", func(_ *testing.T, d *double, _ *gcpkms.Options, _ *crypto.WrappedKey) { d.keys = nil }, "denied", "denied"},
		{"the identity may not", answer(codes.PermissionDenied), "denied", "denied"},
		{"the version is disabled", answer(codes.FailedPrecondition), "denied", "denied"},
		{"there are too many requests", answer(codes.ResourceExhausted), "unreachable", "unreachable"},
		{"the service has a fault", answer(codes.Internal), "unreachable", "unreachable"},
		{"the service is gone", func(_ *testing.T, d *double, _ *gcpkms.Options, _ *crypto.WrappedKey) { d.server.Stop() }, "unreachable", "unreachable"},
		{"answers are damaged on their way", func(_ *testing.T, d *double, _ *gcpkms.Options, _ *crypto.WrappedKey) { d.damages = true }, "unreachable", "unreachable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDouble()
			defer d.server.Stop()
			client := d.client()
			defer client.Close()
			d.rotate(ring + "tokens")
			w := wrap(t, newKey(t, client, ring+"tokens", gcpkms.Options{}))
			var o gcpkms.Options
			c.fault(t, d, &o, &w)
			key := newKey(t, client, ring+"tokens", o)
			ctx := t.Context()
			if c.unwrap == "unreachable" { // the SDK tries again until the context ends
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			got, err := key.Unwrap(ctx, w)
			if kind(err) != c.unwrap || err == nil && !bytes.Equal(got, dataKey) {
				t.Errorf("Unwrap = %x, %v, which is %s; want %s", got, err, kind(err), c.unwrap)
			}
			if _, err := key.Wrap(ctx, dataKey); kind(err) != c.wrap {
				t.Errorf("Wrap = %v, which is %s; want %s", err, kind(err), c.wrap)
			}
		})
	}
}

func TestARotatedKeyUnwrapsWhatItsFormerVersionWrapped(t *testing.T) {
	d := newDouble()
	defer d.server.Stop()
	client := d.client()
	defer client.Close()
	d.rotate(ring + "tokens")
	key := newKey(t, client, ring+"tokens", gcpkms.Options{})
	first := wrap(t, key)
	d.rotate(ring + "tokens")
	second := wrap(t, key)
	if first.KeyID != ring+"tokens/cryptoKeyVersions/1" || second.KeyID != ring+"tokens/cryptoKeyVersions/2" {
		t.Errorf("the wrapped keys name %s and %s", first.KeyID, second.KeyID)
	}
	for _, w := range []crypto.WrappedKey{first, second} {
		if got, err := key.Unwrap(t.Context(), w); err != nil || !bytes.Equal(got, dataKey) {
			t.Errorf("%s: %x, %v", w.KeyID, got, err)
		}
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	d := newDouble()
	defer d.server.Stop()
	client := d.client()
	defer client.Close()
	if k, err := gcpkms.New(nil, ring+"tokens", gcpkms.Options{}); err == nil || k != nil {
		t.Errorf("no client: %v, %v", k, err)
	}
	for _, name := range []string{"", "tokens", ring + "tokens/cryptoKeyVersions/1"} {
		if k, err := gcpkms.New(client, name, gcpkms.Options{}); err == nil || k != nil {
			t.Errorf("the name %q: %v, %v", name, k, err)
		}
	}
}

func TestAKeyPrintsItsNameAlone(t *testing.T) {
	d := newDouble()
	defer d.server.Stop()
	client := d.client()
	defer client.Close()
	key := newKey(t, client, ring+"tokens", gcpkms.Options{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, key); text != "[Cloud KMS key "+ring+"tokens]" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

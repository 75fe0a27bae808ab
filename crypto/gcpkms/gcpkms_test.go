package gcpkms_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	kms "cloud.google.com/go/kms/apiv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/gcpkms"
	"github.com/graphtoken/graphtoken/internal/testkit/keyservicetest"
)

const ring = "projects/p/locations/l/keyRings/r/cryptoKeys/"

func newKey(t testing.TB, client *kms.KeyManagementClient, name string, o gcpkms.Options) *gcpkms.Key {
	k, err := gcpkms.New(client, name, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

func TestConformance(t *testing.T) {
	d := newDouble()
	defer d.server.Stop()
	d.rotate(ring + "tokens")
	d.rotate(ring + "other")
	client := d.client()
	defer client.Close()
	o := gcpkms.Options{AssociatedData: []byte("tokens of the mail program")}
	key, other := newKey(t, client, ring+"tokens", o), newKey(t, client, ring+"other", o)
	keyservicetest.Conform(t, key, other)
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
	keyservicetest.Conform(t, key, other)
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
			*w = keyservicetest.Wrap(t, newKey(t, client, ring+"other", gcpkms.Options{}))
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
			w := keyservicetest.Wrap(t, newKey(t, client, ring+"tokens", gcpkms.Options{}))
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
			if keyservicetest.Kind(err) != c.unwrap || err == nil && !bytes.Equal(got, keyservicetest.DataKey) {
				t.Errorf("Unwrap = %x, %v, which is %s; want %s", got, err, keyservicetest.Kind(err), c.unwrap)
			}
			if _, err := key.Wrap(ctx, keyservicetest.DataKey); keyservicetest.Kind(err) != c.wrap {
				t.Errorf("Wrap = %v, which is %s; want %s", err, keyservicetest.Kind(err), c.wrap)
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
	first := keyservicetest.Wrap(t, key)
	d.rotate(ring + "tokens")
	second := keyservicetest.Wrap(t, key)
	if first.KeyID != ring+"tokens/cryptoKeyVersions/1" || second.KeyID != ring+"tokens/cryptoKeyVersions/2" {
		t.Errorf("the wrapped keys name %s and %s", first.KeyID, second.KeyID)
	}
	for _, w := range []crypto.WrappedKey{first, second} {
		if got, err := key.Unwrap(t.Context(), w); err != nil || !bytes.Equal(got, keyservicetest.DataKey) {
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

// Package keyservicetest has what the tests of every crypto.KeyService need: data keys of
// the service under the suite of cryptography managers, and the kinds of failure that a
// service has to tell from each other.
package keyservicetest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// DataKey is a data key to wrap.
var DataKey = bytes.Repeat([]byte{7}, 32)

// Wrap wraps DataKey.
func Wrap(t testing.TB, k crypto.KeyService) crypto.WrappedKey {
	t.Helper()
	w, err := k.Wrap(t.Context(), DataKey)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Kind says which of the kinds of failure that crypto tells apart an error is.
func Kind(err error) string {
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

// Conform runs the suite of cryptography managers on data keys that key wraps; other is
// another key of the service. The secrets must show nowhere.
func Conform(t *testing.T, key, other crypto.KeyService, secrets ...string) {
	conformance.RunCryptography(t, conformance.CryptographyHarness{
		New: func(t conformance.T) core.CryptographyManager { return newDataKeys(t, key, other, secrets) },
	})
}

// dataKeys are data keys with what the suite may ask of them.
type dataKeys struct {
	*crypto.DataKeys
	other   crypto.KeyService
	secrets []string
}

func newDataKeys(t conformance.T, key, other crypto.KeyService, secrets []string) core.CryptographyManager {
	d, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return dataKeys{d, other, secrets}
}

func (d dataKeys) OtherKey(t conformance.T) core.CryptographyManager {
	return newDataKeys(t, d.other, nil, d.secrets)
}

func (d dataKeys) IsWrongKey(err error) bool { return errors.Is(err, crypto.ErrUnknownKey) }
func (d dataKeys) Secrets() []string         { return d.secrets }

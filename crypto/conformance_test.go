package crypto_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/fernet"
)

// underTest is a Keyring with what the suite may ask of one.
type underTest struct {
	*crypto.Keyring
	keys []crypto.Key
}

func newUnderTest(t conformance.T, keys ...crypto.Key) core.CryptographyManager {
	k, err := crypto.NewKeyring(keys[0], keys[1:]...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return underTest{k, keys}
}

func (u underTest) OtherKey(t conformance.T) core.CryptographyManager {
	return newUnderTest(t, crypto.NewKey())
}

func (u underTest) IsWrongKey(err error) bool {
	return errors.Is(err, crypto.ErrUnknownKey)
}

func (u underTest) Secrets() []string {
	var all []string
	for _, k := range u.keys {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(k.Reveal(), "gtkey1_"))
		if err != nil {
			panic(err)
		}
		all = append(all, k.Reveal(), string(raw[:32]))
	}
	return all
}

// inTransition is a Transition from Fernet with what the suite may ask of one.
type inTransition struct {
	*crypto.Transition
	next underTest
}

func (u inTransition) OtherKey(t conformance.T) core.CryptographyManager { return u.next.OtherKey(t) }
func (u inTransition) IsWrongKey(err error) bool                         { return u.next.IsWrongKey(err) }
func (u inTransition) Secrets() []string                                 { return append(u.next.Secrets(), fernetKey) }

func TestATransitionConforms(t *testing.T) {
	conformance.RunCryptography(t, conformance.CryptographyHarness{New: func(t conformance.T) core.CryptographyManager {
		next := newUnderTest(t, fixed).(underTest)
		former, err := fernet.New(fernetKey)
		if err != nil {
			t.Fatalf("%v", err)
		}
		m, err := crypto.NewTransition(next.Keyring, former)
		if err != nil {
			t.Fatalf("%v", err)
		}
		return inTransition{m, next}
	}})
}

func TestConformance(t *testing.T) {
	for name, keys := range map[string][]crypto.Key{
		"one key":      {fixed},
		"several keys": {crypto.NewKey(), crypto.NewKey(), fixed},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.RunCryptography(t, conformance.CryptographyHarness{
				New: func(t conformance.T) core.CryptographyManager { return newUnderTest(t, keys...) },
			})
		})
	}
}

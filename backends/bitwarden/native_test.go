package bitwarden_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/native"
)

func TestARecordIsUsedUnderTheNameOfItsSecret(t *testing.T) {
	for _, name := range []string{"token ana@contoso.com", "a/b+c=d", "100%", "%40", "日本語", "%%64o36d1g"} {
		s := store{bitwardentest.Records{Server: bitwardentest.Start(t, bitwardentest.Options{})}}
		native.Check(t, s.open(t, true), name, native.Place{
			Put: func(data string) { s.Add(bitwardentest.Secret{Key: name, Value: data}) },
			Get: func() (string, bool) {
				for _, secret := range s.Secrets() {
					if secret.Key == name {
						return secret.Value, true
					}
				}
				return "", false
			},
		})
	}
}

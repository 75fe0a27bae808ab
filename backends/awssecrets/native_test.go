package awssecrets_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/internal/testkit/native"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

func TestARecordIsUsedUnderTheNameOfItsSecret(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"contoso/ana+test@contoso.com", "token=1", "=40", "==64o36d1g", "a.b_c-d/"} {
		b, double := open(t, secretstest.Options{}, awssecrets.Options{NativeNames: true})
		client := connect(double.URL, nil)
		native.Check(t, b, name, native.Place{
			Put: func(data string) {
				_, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(data)})
				if err != nil {
					t.Fatal(err)
				}
			},
			Get: func() (string, bool) {
				data := double.Value(name)
				return string(data), data != nil
			},
		})
	}
}

// A key that ends like a lease's name, or is the name that Ping asks for, is no
// secret's name.
func TestANativeNameIsNoLeases(t *testing.T) {
	t.Parallel()
	b, _ := open(t, secretstest.Options{}, awssecrets.Options{NativeNames: true})
	lease, err := b.Acquire(t.Context(), "ana", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ana=leased", "="} {
		if there, err := b.Check(t.Context(), key); there || err != nil {
			t.Errorf("Check of %q = %t, %v", key, there, err)
		}
		save(t, b, key, "{}", "")
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Errorf("a record took the lease's place: %v", err)
	}
	if keys := list(t, b); len(keys) != 2 {
		t.Errorf("Keys = %q", keys)
	}
}

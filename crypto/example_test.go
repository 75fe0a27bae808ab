package crypto_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// A record encrypted for one user does not decrypt for another.
func Example() {
	ctx := context.Background()
	keyring, err := crypto.NewKeyring(crypto.NewKey())
	if err != nil {
		log.Fatal(err)
	}
	stored, err := keyring.Encrypt(ctx, []byte(`{"AccessToken":{}}`), []byte("ana@contoso.com"))
	if err != nil {
		log.Fatal(err)
	}
	record, err := keyring.Decrypt(ctx, stored, []byte("ana@contoso.com"))
	fmt.Printf("%s %v\n", record, err)
	_, err = keyring.Decrypt(ctx, stored, []byte("bob@contoso.com"))
	fmt.Println(errors.Is(err, core.ErrDecrypt))
	// Output:
	// {"AccessToken":{}} <nil>
	// true
}

// A new key becomes primary; the old one still decrypts.
func ExampleKeyring_NeedsRotation() {
	ctx := context.Background()
	last, this := crypto.NewKey(), crypto.NewKey()
	before, err := crypto.NewKeyring(last)
	if err != nil {
		log.Fatal(err)
	}
	stored, err := before.Encrypt(ctx, []byte("{}"), nil)
	if err != nil {
		log.Fatal(err)
	}
	after, err := crypto.NewKeyring(this, last)
	if err != nil {
		log.Fatal(err)
	}
	record, err := after.Decrypt(ctx, stored, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(after.NeedsRotation(stored))
	if stored, err = after.Encrypt(ctx, record, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(after.NeedsRotation(stored))
	// Output:
	// true
	// false
}

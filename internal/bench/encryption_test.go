package bench

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/fernet"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// nearby is a key service in the process: what it costs to ask isn't measured here.
type nearby struct{ aead cipher.AEAD }

func (s nearby) Wrap(_ context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	return crypto.WrappedKey{KeyID: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", Data: s.aead.Seal(make([]byte, 124), nil, dataKey, nil)}, nil
}

func (s nearby) Unwrap(_ context.Context, w crypto.WrappedKey) ([]byte, error) {
	return s.aead.Open(nil, nil, w.Data[124:], nil)
}

func bareCipher(b *testing.B) cipher.AEAD {
	b.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		b.Fatal(err)
	}
	return aead
}

// many makes one turn of several calls: the clock is read twice in a turn.
func many(call func() error) func(int) error {
	return func(int) error {
		for range 20 {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	}
}

// BenchmarkEncryption compares the keyring with its cipher alone, and with what else encrypts a record
// of 6 KB. A turn is 20 calls.
func BenchmarkEncryption(b *testing.B) {
	ctx, record, place := b.Context(), make([]byte, 6<<10), []byte("ana@contoso.com")
	bare := bareCipher(b)
	keyring, err := crypto.NewKeyring(crypto.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	dataKeys, err := crypto.NewDataKeys(nearby{bare}, crypto.DataKeyOptions{})
	if err != nil {
		b.Fatal(err)
	}
	python, err := fernet.New("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	if err != nil {
		b.Fatal(err)
	}
	encrypt := func(m core.CryptographyManager) func(int) error {
		return many(func() error { _, err := m.Encrypt(ctx, record, place); return err })
	}
	decrypt := func(m core.CryptographyManager) func(int) error {
		stored, err := m.Encrypt(ctx, record, place)
		if err != nil {
			b.Fatal(err)
		}
		return many(func() error { _, err := m.Decrypt(ctx, stored, place); return err })
	}
	b.Run("Encrypt", func(b *testing.B) {
		sidebyside.Run(b, encrypt(keyring), many(func() error { bare.Seal(nil, nil, record, place); return nil }),
			sidebyside.Way{Name: "data-keys", Do: encrypt(dataKeys)}, sidebyside.Way{Name: "fernet", Do: encrypt(python)})
	})
	b.Run("Decrypt", func(b *testing.B) {
		sealed := bare.Seal(nil, nil, record, place)
		sidebyside.Run(b, decrypt(keyring), many(func() error { _, err := bare.Open(nil, nil, sealed, place); return err }),
			sidebyside.Way{Name: "data-keys", Do: decrypt(dataKeys)}, sidebyside.Way{Name: "fernet", Do: decrypt(python)})
	})
}

// BenchmarkEncryptedLoad compares a Load whose data key is known with a Load under a keyring.
func BenchmarkEncryptedLoad(b *testing.B) {
	keyring, err := crypto.NewKeyring(crypto.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	dataKeys, err := crypto.NewDataKeys(nearby{bareCipher(b)}, crypto.DataKeyOptions{})
	if err != nil {
		b.Fatal(err)
	}
	load := func(opts ...core.StoreOption) func(int) error {
		backend, err := memory.New(memory.Options{})
		if err != nil {
			b.Fatal(err)
		}
		store := core.NewStore(backend, opts...)
		if _, err := store.Save(b.Context(), "k", users(b, 1), core.Absent); err != nil {
			b.Fatal(err)
		}
		return many(func() error { _, _, err := store.Load(b.Context(), "k"); return err })
	}
	sidebyside.Run(b, load(core.WithCryptography(dataKeys)), load(core.WithCryptography(keyring)), sidebyside.Way{Name: "plain", Do: load()})
}

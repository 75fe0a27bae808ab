package core_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestNoTwoPairsOfNamespaceAndKeyHaveTheSameAssociatedData(t *testing.T) {
	seen := map[string]string{}
	for _, pair := range [][2]string{{"", "a"}, {"", "ab"}, {"a", "b"}, {"", "a b"}, {"ab", "c"}, {"a", "bc"}, {"a\x00b", "c"}, {"a", "c"}} {
		data, what := string(core.AssociatedData(pair[0], pair[1])), pair[0]+"|"+pair[1]
		if other, ok := seen[data]; ok {
			t.Errorf("%q and %q have the same", what, other)
		}
		seen[data] = what
	}
	if got := string(core.AssociatedData("production", "ana")); got != "production\x00ana" {
		t.Errorf("%q", got)
	}
	if got := string(core.AssociatedData("", "ana")); got != "ana" {
		t.Errorf("%q", got)
	}
}

// inPlace is a cryptography manager that decrypts into its argument, as
// cipher.AEAD.Open(data[:0], …) does.
type inPlace struct{}

func (inPlace) Encrypt(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	return flip(append([]byte("~"), plaintext...)), nil
}

func (inPlace) Decrypt(_ context.Context, ciphertext, _ []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(flip(ciphertext), []byte("~"))
	if !ok {
		return nil, core.ErrDecrypt
	}
	return plain, nil
}

func flip(data []byte) []byte {
	for i := range data {
		data[i] ^= 0x55
	}
	return data
}

func TestACryptographyManagerMayDecryptInPlace(t *testing.T) {
	t.Run("though others are handed the same record", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, b := newIDP(), &awkward{backend: newBackend()}
			encrypted := core.WithCryptography(inPlace{})
			p.signIn(t, core.NewStore(b, encrypted), "k", "ana", "bo")
			b.load = func(ctx context.Context, key string) (core.Record, error) {
				time.Sleep(time.Millisecond)
				rec, err := b.backend.Load(ctx, key)
				time.Sleep(time.Millisecond)
				return rec, err
			}
			s := core.NewStore(b, encrypted)
			var all sync.WaitGroup
			for _, q := range []tokencache.Query{ana(), bo(), {HomeAccountID: home("ana")}, {HomeAccountID: home("bo")}} {
				all.Go(func() {
					if _, err := s.TokenSource("k", q, p.refresh).Token(t.Context()); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				time.Sleep(100 * time.Microsecond) // the last ones come before the second load, and are handed its record
			}
			all.Wait()
		})
	})
	t.Run("though the record is plain", func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		s := core.NewStore(b, core.WithCryptography(inPlace{}), core.WithPlaintextReads())
		mustToken(t, s.TokenSource("k", ana(), p.refresh))
	})
}

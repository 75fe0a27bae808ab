package crypto_test

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"slices"
	"testing"
	"time"
)

// These benchmarks compare the keyring with its cipher alone, which gets the same associated
// data. of-bare is the keyring's speed divided by the cipher's. Both take turns, so that other
// work on the machine slows both down.
func BenchmarkEncrypt(b *testing.B) { besideBareCipher(b, false) }
func BenchmarkDecrypt(b *testing.B) { besideBareCipher(b, true) }

func besideBareCipher(b *testing.B, decrypts bool) {
	k, place := ring(b, fixed), []byte("ana@contoso.com")
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	bare, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{6 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			plaintext := make([]byte, size)
			stored, sealed := encrypt(b, k, string(plaintext), string(place)), bare.Seal(nil, nil, plaintext, place)
			ours := func() error { _, err := k.Encrypt(b.Context(), plaintext, place); return err }
			theirs := func() error { bare.Seal(nil, nil, plaintext, place); return nil }
			if decrypts {
				ours = func() error { _, err := k.Decrypt(b.Context(), stored, place); return err }
				theirs = func() error { _, err := bare.Open(nil, nil, sealed, place); return err }
			}
			calls := [2]func() error{ours, theirs}
			var times [2][]time.Duration
			for turn := 0; b.Loop(); turn++ {
				which := turn % 2
				began := time.Now()
				for range 20 {
					if err := calls[which](); err != nil {
						b.Fatal(err)
					}
				}
				times[which] = append(times[which], time.Since(began)/20)
			}
			var medians [2]float64
			for i, t := range times {
				if len(t) > 0 {
					slices.Sort(t)
					medians[i] = float64(t[len(t)/2])
				}
			}
			b.ReportMetric(medians[0], "ns/op")
			b.ReportMetric(medians[1], "bare-ns/op")
			b.ReportMetric(medians[1]/medians[0], "of-bare")
			b.ReportMetric(testing.AllocsPerRun(10, func() { _ = ours() }), "allocations")
		})
	}
}

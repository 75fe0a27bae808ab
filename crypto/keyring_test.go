package crypto_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// fixed is a key that never changes; other is another one.
var fixed, other = filled(1), filled(2)

func filled(b byte) crypto.Key {
	return crypto.KeyFromBytes([32]byte(bytes.Repeat([]byte{b}, 32)))
}

func ring(t testing.TB, primary crypto.Key, others ...crypto.Key) *crypto.Keyring {
	t.Helper()
	k, err := crypto.NewKeyring(primary, others...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encrypt(t testing.TB, k *crypto.Keyring, plaintext, ad string) []byte {
	t.Helper()
	envelope, err := k.Encrypt(t.Context(), []byte(plaintext), []byte(ad))
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func TestAnEncryptedRecordDecrypts(t *testing.T) {
	k := ring(t, crypto.NewKey())
	for _, plaintext := range []string{"", "{}", "\x00\xff", strings.Repeat("long ", 50_000)} {
		for _, ad := range []string{"", "ana@contoso.com", "\x00"} {
			got, err := k.Decrypt(t.Context(), encrypt(t, k, plaintext, ad), []byte(ad))
			if err != nil || string(got) != plaintext {
				t.Errorf("%.20q with %q: %.20q, %v", plaintext, ad, got, err)
			}
		}
	}
}

func TestAnEnvelopeIsOneLineOfPlainText(t *testing.T) {
	k := ring(t, fixed)
	envelope := string(encrypt(t, k, "\x00{}", "ana"))
	head := "graphtoken:1:" + fixed.ID() + ":"
	body, ok := strings.CutPrefix(envelope, head)
	if !ok || strings.Trim(body, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("the envelope is %q", envelope)
	}
	if again := string(encrypt(t, k, "\x00{}", "ana")); again == envelope {
		t.Error("two encryptions of the same are equal")
	}
}

// Envelopes made once, by the code of their day, decrypt for ever.
func TestEnvelopesOfOldDecrypt(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name           string `json:"name"`
		Key            string `json:"key"`
		KeyBytes       string `json:"key_bytes"`
		KeyID          string `json:"key_id"`
		AssociatedData []byte `json:"associated_data"`
		Plaintext      []byte `json:"plaintext"`
		Nonce          string `json:"nonce"`
		AdditionalData string `json:"additional_data"`
		Ciphertext     string `json:"ciphertext"`
		Tag            string `json:"tag"`
		Envelope       string `json:"envelope"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		key, err := crypto.ParseKey(v.Key)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if key.ID() != v.KeyID {
			t.Errorf("%s: the key's id is %s, was %s", v.Name, key.ID(), v.KeyID)
		}
		got, err := ring(t, key).Decrypt(t.Context(), []byte(v.Envelope), v.AssociatedData)
		if err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("%s: %q, %v", v.Name, got, err)
		}
		// The steps between, for those who write the same in another language.
		header := "graphtoken:1:" + v.KeyID + ":"
		sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(v.Envelope, header))
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		n := len(sealed) - 16
		for _, step := range []struct {
			name, recorded string
			want           []byte
		}{
			{"key_bytes", v.KeyBytes, secretOf(t, key)},
			{"nonce", v.Nonce, sealed[:12]},
			{"ciphertext", v.Ciphertext, sealed[12:n]},
			{"tag", v.Tag, sealed[n:]},
			{"additional_data", v.AdditionalData, slices.Concat([]byte{0, 0, 0, 0, 0, 0, 0, byte(len(header))}, []byte(header), v.AssociatedData)},
		} {
			if want := hex.EncodeToString(step.want); step.recorded != want {
				t.Errorf("%s: %s is %s, want %s", v.Name, step.name, step.recorded, want)
			}
		}
	}
}

// secretOf returns the 32 bytes of a key.
func secretOf(t *testing.T, key crypto.Key) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(key.Reveal(), "gtkey1_"))
	if err != nil {
		t.Fatal(err)
	}
	return b[:32]
}

func TestEnvelopesThatMustBeRefusedAre(t *testing.T) {
	text, err := os.ReadFile("testdata/refused.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Key            string
		AssociatedData []byte `json:"associated_data"`
		Accepted       string
		Refused        []struct{ Name, Envelope string }
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	key, err := crypto.ParseKey(vectors.Key)
	if err != nil {
		t.Fatal(err)
	}
	k := ring(t, key)
	if _, err := k.Decrypt(t.Context(), []byte(vectors.Accepted), vectors.AssociatedData); err != nil {
		t.Errorf("the one to be accepted: %v", err)
	}
	if len(vectors.Refused) < 20 {
		t.Errorf("%d vectors", len(vectors.Refused))
	}
	for _, v := range vectors.Refused {
		if got, err := k.Decrypt(t.Context(), []byte(v.Envelope), vectors.AssociatedData); !errors.Is(err, core.ErrDecrypt) || got != nil {
			t.Errorf("%s: %q, %v", v.Name, got, err)
		}
	}
}

func TestNothingAlteredDecrypts(t *testing.T) {
	k := ring(t, fixed, other)
	envelope := encrypt(t, k, `{"secret":"hunter2"}`, "ana")
	var checked int
	refuse := func(what string, at int, altered []byte) {
		checked++
		got, err := k.Decrypt(t.Context(), altered, []byte("ana"))
		if !errors.Is(err, core.ErrDecrypt) || got != nil {
			t.Errorf("%s at %d: %q, %v", what, at, got, err)
		}
	}
	for i := range envelope {
		refuse("cut", i, envelope[:i])
		refuse("beginning cut", i+1, envelope[i+1:])
		refuse("a byte taken out", i, append(bytes.Clone(envelope[:i]), envelope[i+1:]...))
		for c := range 256 {
			if byte(c) != envelope[i] {
				altered := bytes.Clone(envelope)
				altered[i] = byte(c)
				refuse(fmt.Sprintf("byte %#x", c), i, altered)
			}
		}
	}
	for i := range len(envelope) + 1 {
		for _, more := range []string{"\n", "\r", "\r\n", "\n\n\n\n", " ", "=", "A", "\x00"} {
			refuse(fmt.Sprintf("%q put in", more), i, insert(envelope, i, more))
		}
	}
	// Under a key of the keyring, but not the one that encrypted.
	swapped := bytes.Replace(envelope, []byte(fixed.ID()), []byte(other.ID()), 1)
	refuse("the other key's id", 0, swapped)
	t.Logf("%d alterations refused", checked)
}

func insert(b []byte, i int, more string) []byte {
	return []byte(string(b[:i]) + more + string(b[i:]))
}

func TestARecordDoesNotDecryptElsewhere(t *testing.T) {
	k := ring(t, fixed)
	for _, c := range []struct{ stored, read string }{
		{"ana", "bob"},
		{"ana", "ana "},
		{"ana", ""},
		{"", "ana"},
		{"tenant/ana", "ana"},
		{"ana", "ana\x00"},
	} {
		if got, err := k.Decrypt(t.Context(), encrypt(t, k, "{}", c.stored), []byte(c.read)); !errors.Is(err, core.ErrDecrypt) {
			t.Errorf("stored with %q, read with %q: %q, %v", c.stored, c.read, got, err)
		}
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	k := ring(t, fixed)
	foreign := string(encrypt(t, ring(t, other), "{}", "ana"))
	mine := string(encrypt(t, k, "{}", "ana"))
	for _, c := range []struct{ name, stored, want string }{
		{"plain JSON", `{"AccessToken":{"secret":"hunter2"}}`, "cannot decrypt: it is not an envelope of this package"},
		{"nothing", "", "cannot decrypt: it is not an envelope of this package"},
		{"Fernet", "gAAAAABhunter2", "cannot decrypt: it is not an envelope of this package"},
		{"a later format", strings.Replace(mine, ":1:", ":3:", 1), "cannot decrypt: its envelope is of a format this version doesn't know"},
		{"a key service's format", strings.Replace(mine, ":1:", ":2:", 1), "cannot decrypt: encrypted under another key: the record was encrypted by DataKeys, and this manager isn't one"},
		{"an id in upper case", "graphtoken:1:ABCDEFABCDEFABCD:hunter2", "cannot decrypt: its envelope names no key"},
		{"no id", "graphtoken:1:", "cannot decrypt: its envelope names no key"},
		{"another's key", foreign, "cannot decrypt: encrypted under another key: no key with id " + other.ID() + " in the keyring"},
		{"no base64", mine + "!hunter2", "cannot decrypt: its envelope is damaged or cut short"},
		{"another user's", mine[:len(mine)-8] + "AAAAAAAA", "cannot decrypt: it was altered, or stored under another name"},
	} {
		_, err := k.Decrypt(t.Context(), []byte(c.stored), []byte("ana"))
		if !errors.Is(err, core.ErrDecrypt) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestAKeyringDecryptsWithAnyKeyAndEncryptsWithThePrimary(t *testing.T) {
	before, between, after := ring(t, fixed), ring(t, other, fixed), ring(t, other)
	old := encrypt(t, before, "{}", "ana")
	if _, err := between.Decrypt(t.Context(), old, []byte("ana")); err != nil {
		t.Errorf("the old key's record: %v", err)
	}
	if !between.NeedsRotation(old) || before.NeedsRotation(old) {
		t.Error("the old key's record needs rotation under the new primary only")
	}
	fresh := encrypt(t, between, "{}", "ana")
	if _, err := after.Decrypt(t.Context(), fresh, []byte("ana")); err != nil || between.NeedsRotation(fresh) {
		t.Errorf("what was encrypted while both were there: %v", err)
	}
	for _, stored := range []string{"", "{}", "graphtoken:1:", "graphtoken:2:" + other.ID() + ":"} {
		if !between.NeedsRotation([]byte(stored)) {
			t.Errorf("NeedsRotation(%q) = false", stored)
		}
	}
}

func TestAKeyringRefusesTheZeroKeyAndTakesTheSameTwice(t *testing.T) {
	if k, err := crypto.NewKeyring(crypto.Key{}); err == nil {
		t.Errorf("NewKeyring of the zero Key: %v", k)
	}
	if k, err := crypto.NewKeyring(fixed, crypto.Key{}); err == nil {
		t.Errorf("NewKeyring with the zero Key: %v", k)
	}
	if got, want := ring(t, fixed, other, fixed, other).String(), "[keyring ids="+fixed.ID()+","+other.ID()+"]"; got != want {
		t.Errorf("the keyring is %s, want %s", got, want)
	}
	var zero crypto.Keyring
	if _, err := zero.Encrypt(t.Context(), []byte("{}"), nil); err == nil {
		t.Error("the zero Keyring encrypts")
	}
	if _, err := zero.Decrypt(t.Context(), encrypt(t, ring(t, fixed), "{}", ""), nil); !errors.Is(err, core.ErrDecrypt) {
		t.Errorf("the zero Keyring: %v", err)
	}
}

func TestTheCallersSlicesStayAsTheyAre(t *testing.T) {
	k := ring(t, fixed)
	plaintext, ad := []byte("{}"), []byte("ana")
	envelope, err := k.Encrypt(t.Context(), plaintext, ad)
	if err != nil {
		t.Fatal(err)
	}
	kept := bytes.Clone(envelope)
	got, err := k.Decrypt(t.Context(), envelope, ad)
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'X'
	if string(plaintext) != "{}" || string(ad) != "ana" || !bytes.Equal(envelope, kept) {
		t.Errorf("they became %q, %q, %q", plaintext, ad, envelope)
	}
}

func TestManyUseOneKeyring(t *testing.T) {
	k := ring(t, fixed, other)
	old := encrypt(t, ring(t, other), "old", "ana")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				text, ad := fmt.Sprint(i, " ", n), fmt.Sprint("user", i)
				envelope, err := k.Encrypt(t.Context(), []byte(text), []byte(ad))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := k.Decrypt(t.Context(), envelope, []byte(ad)); err != nil || string(got) != text {
					t.Errorf("%q, %v", got, err)
				}
				if got, err := k.Decrypt(t.Context(), old, []byte("ana")); err != nil || string(got) != "old" {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

func FuzzDecrypt(f *testing.F) {
	k := ring(f, fixed)
	f.Add(encrypt(f, k, "{}", "ana"), []byte("ana"))
	f.Add(encrypt(f, k, "", ""), []byte(""))
	f.Add(encrypt(f, ring(f, other), "{}", "ana"), []byte("ana"))
	f.Add([]byte("graphtoken:1:"+fixed.ID()+":"), []byte(""))
	f.Add([]byte("graphtoken:1:"+fixed.ID()+":AAAA\n"), []byte(""))
	f.Add([]byte("graphtoken:1:"+fixed.ID()+":"+base64.RawURLEncoding.EncodeToString(make([]byte, 28))), []byte(""))
	f.Add([]byte("graphtoken:2:x"), []byte(""))
	f.Add([]byte(`{"AccessToken":{}}`), []byte(""))
	f.Fuzz(func(t *testing.T, envelope, ad []byte) {
		kept := bytes.Clone(envelope)
		plaintext, err := k.Decrypt(t.Context(), envelope, ad)
		if !bytes.Equal(envelope, kept) {
			t.Fatal("Decrypt changed its argument")
		}
		if err != nil {
			if plaintext != nil || !errors.Is(err, core.ErrDecrypt) {
				t.Fatalf("%q, %v", plaintext, err)
			}
			return
		}
		// Nobody but the keyring makes what it decrypts: only the seeds do.
		if s := string(plaintext); s != "{}" && s != "" {
			t.Fatalf("forged %q", s)
		}
	})
}

func BenchmarkEncrypt(b *testing.B) { benchmark(b, false) }
func BenchmarkDecrypt(b *testing.B) { benchmark(b, true) }

// The keyring adds to its cipher: base64, the key's id and the associated data.
func BenchmarkBareCipher(b *testing.B) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		b.Fatal(err)
	}
	plaintext := make([]byte, 6<<10)
	sealed := aead.Seal(nil, nil, plaintext, nil)
	for name, run := range map[string]func() error{
		"Seal": func() error { aead.Seal(nil, nil, plaintext, nil); return nil },
		"Open": func() error { _, err := aead.Open(nil, nil, sealed, nil); return err },
	} {
		b.Run(name+"/6KiB", func(b *testing.B) {
			b.SetBytes(6 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestARecordCostsTwoAllocationsToEncryptAndOneToDecrypt(t *testing.T) {
	k := ring(t, fixed)
	plaintext, ad := make([]byte, 6<<10), []byte("ana@contoso.com")
	envelope := encrypt(t, k, string(plaintext), string(ad))
	if n := testing.AllocsPerRun(100, func() { _, _ = k.Encrypt(t.Context(), plaintext, ad) }); n > 2 {
		t.Errorf("Encrypt makes %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = k.Decrypt(t.Context(), envelope, ad) }); n > 1 {
		t.Errorf("Decrypt makes %v allocations", n)
	}
}

func benchmark(b *testing.B, decrypts bool) {
	k := ring(b, fixed)
	ad := []byte("ana@contoso.com")
	for _, size := range []int{6 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			plaintext := make([]byte, size)
			envelope, err := k.Encrypt(b.Context(), plaintext, ad)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if decrypts {
					_, err = k.Decrypt(b.Context(), envelope, ad)
				} else {
					_, err = k.Encrypt(b.Context(), plaintext, ad)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

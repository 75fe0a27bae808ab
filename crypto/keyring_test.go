package crypto_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
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

func TestAnEnvelopeTellsItsFormatAndKeyAndIsAsShortAsCanBe(t *testing.T) {
	k := ring(t, fixed)
	envelope := string(encrypt(t, k, "\x00{}", "ana"))
	header := "graphtoken:3:" + fixed.ID() + ":"
	if !strings.HasPrefix(envelope, header) || len(envelope) != len(header)+12+3+16 {
		t.Errorf("the envelope is %q", envelope)
	}
	if again := string(encrypt(t, k, "\x00{}", "ana")); again == envelope {
		t.Error("two encryptions of the same are equal")
	}
}

func TestNothingAlteredDecrypts(t *testing.T) {
	k := ring(t, fixed, other)
	var older []vector
	readVectors(t, formats[1], &older)
	for _, c := range []struct {
		name     string
		envelope []byte
		place    []byte
	}{
		{"as it is written", encrypt(t, k, `{"secret":"hunter2"}`, "ana"), []byte("ana")},
		{"of the older format", []byte(older[0].Envelope), older[0].AssociatedData},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := k.Decrypt(t.Context(), c.envelope, c.place); err != nil {
				t.Fatal(err)
			}
			var checked int
			refuse := func(what string, at int, altered []byte) {
				checked++
				got, err := k.Decrypt(t.Context(), altered, c.place)
				if !errors.Is(err, core.ErrDecrypt) || got != nil {
					t.Errorf("%s at %d: %q, %v", what, at, got, err)
				}
			}
			for i := range c.envelope {
				refuse("cut", i, c.envelope[:i])
				refuse("beginning cut", i+1, c.envelope[i+1:])
				refuse("a byte taken out", i, append(bytes.Clone(c.envelope[:i]), c.envelope[i+1:]...))
				for b := range 256 {
					if byte(b) != c.envelope[i] {
						altered := bytes.Clone(c.envelope)
						altered[i] = byte(b)
						refuse(fmt.Sprintf("byte %#x", b), i, altered)
					}
				}
			}
			for i := range len(c.envelope) + 1 {
				for _, more := range []string{"\n", "\r", "\r\n", "\n\n\n\n", " ", "=", "A", "\x00"} {
					refuse(fmt.Sprintf("%q put in", more), i, insert(c.envelope, i, more))
				}
			}
			// Under a key of the keyring, but not the one that encrypted.
			refuse("the other key's id", 0, bytes.Replace(c.envelope, []byte(fixed.ID()), []byte(other.ID()), 1))
			t.Logf("%d alterations refused", checked)
		})
	}
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
		{"plain JSON", `{"AccessToken":{"secret":"hunter2"}}`, "cannot decrypt: the record is plain"},
		{"nothing", "", "cannot decrypt: it has no form of an encrypted record"},
		{"Fernet", "gAAAAABhunter2", "cannot decrypt: it has no form of an encrypted record"},
		{"a later format", strings.Replace(mine, ":3:", ":5:", 1), "cannot decrypt: its envelope is of a format this version doesn't know"},
		{"a key service's format", strings.Replace(mine, ":3:", ":4:", 1), "cannot decrypt: encrypted under another key: the record was encrypted by DataKeys, not by a Keyring"},
		{"an id in upper case", "graphtoken:1:ABCDEFABCDEFABCD:hunter2", "cannot decrypt: its envelope names no key"},
		{"no id", "graphtoken:1:", "cannot decrypt: its envelope names no key"},
		{"another's key", foreign, "cannot decrypt: encrypted under another key: none of the keys has the id " + other.ID()},
		{"cut short", mine[:len(mine)-3], "cannot decrypt: its envelope is cut short"},
		{"longer than it was", mine + "hunter2", "cannot decrypt: it was altered, or stored under another name"},
		{"no base64 in an older format", "graphtoken:1:" + fixed.ID() + ":hunter2!", "cannot decrypt: its envelope is damaged or cut short"},
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
	for _, stored := range []string{"", "{}", "graphtoken:3:", "graphtoken:4:" + other.ID() + ":", "graphtoken:3:" + other.ID()} {
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
	f.Add([]byte("graphtoken:3:"+fixed.ID()+":"), []byte(""))
	f.Add([]byte("graphtoken:2:x"), []byte(""))
	f.Add([]byte("graphtoken:4:x:y:"), []byte(""))
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

func TestARecordCostsOneAllocationToEncryptAndOneToDecrypt(t *testing.T) {
	k := ring(t, fixed)
	plaintext, ad := make([]byte, 6<<10), []byte("ana@contoso.com")
	envelope := encrypt(t, k, string(plaintext), string(ad))
	if n := testing.AllocsPerRun(100, func() { _, _ = k.Encrypt(t.Context(), plaintext, ad) }); n > 1 {
		t.Errorf("Encrypt makes %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = k.Decrypt(t.Context(), envelope, ad) }); n > 1 {
		t.Errorf("Decrypt makes %v allocations", n)
	}
}

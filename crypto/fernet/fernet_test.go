package fernet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto/fernet"
)

// Keys as Python's Fernet.generate_key wrote them.
const (
	newer = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	older = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
)

func manager(t testing.TB, keys ...string) *fernet.Manager {
	t.Helper()
	m, err := fernet.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// underTest is a Manager with what the suite may ask of one.
type underTest struct {
	*fernet.Manager
	keys []string
}

func (u underTest) OtherKey(t conformance.T) core.CryptographyManager {
	m, err := fernet.New(base64.URLEncoding.EncodeToString([]byte("a key that is none of the others")))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

func (u underTest) Secrets() []string {
	var all []string
	for _, k := range u.keys {
		raw, err := base64.URLEncoding.DecodeString(k)
		if err != nil {
			panic(err)
		}
		all = append(all, k, string(raw[:16]), string(raw[16:]))
	}
	return all
}

func TestConformance(t *testing.T) {
	for name, keys := range map[string][]string{"one key": {newer}, "several keys": {newer, older}} {
		t.Run(name, func(t *testing.T) {
			conformance.RunCryptography(t, conformance.CryptographyHarness{
				New:     func(t conformance.T) core.CryptographyManager { return underTest{must(t, keys...), keys} },
				Unbound: "a Fernet token has no place for them",
			})
		})
	}
}

func must(t conformance.T, keys ...string) *fernet.Manager {
	m, err := fernet.New(keys...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

func TestAManagerDecryptsWithAnyKeyAndEncryptsWithTheFirst(t *testing.T) {
	before, between, after := manager(t, older), manager(t, newer, older), manager(t, newer)
	encrypt := func(m *fernet.Manager) []byte {
		t.Helper()
		token, err := m.Encrypt(t.Context(), []byte("{}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	old := encrypt(before)
	if got, err := between.Decrypt(t.Context(), old, nil); err != nil || string(got) != "{}" {
		t.Errorf("the old key's token: %q, %v", got, err)
	}
	if !between.NeedsRotation(old) || before.NeedsRotation(old) {
		t.Error("the old key's token needs rotation under the new first key only")
	}
	fresh := encrypt(between)
	if _, err := after.Decrypt(t.Context(), fresh, nil); err != nil || between.NeedsRotation(fresh) {
		t.Errorf("what was encrypted while both were there: %v", err)
	}
	for _, stored := range []string{"", "{}", "graphtoken:1:0123456789abcdef:AAAA", string(fresh[:len(fresh)-4])} {
		if !between.NeedsRotation([]byte(stored)) {
			t.Errorf("NeedsRotation(%q) = false", stored)
		}
	}
}

func TestKeysAreTakenAsPythonTakesThem(t *testing.T) {
	token, err := manager(t, older).Encrypt(t.Context(), []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{
		"the other base64, as openssl writes it": strings.NewReplacer("_", "/", "-", "+").Replace(older),
		"white space around it":                  " " + older + "\r\n",
	} {
		if got, err := manager(t, key).Decrypt(t.Context(), token, nil); err != nil || string(got) != "{}" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, c := range []struct {
		name string
		keys []string
		want string
	}{
		{"none", nil, "fernet: a manager needs a key"},
		{"an empty one", []string{""}, "fernet: key 1 of 1 is not a key: it is empty"},
		{"without its padding", []string{newer, strings.TrimRight(older, "=")}, "fernet: key 2 of 2 is not a key: it is not base64 of 44 characters, the padding among them"},
		{"the keyring's", []string{"gtkey1_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQFiMZ_M"}, "fernet: key 1 of 1 is not a key: it is not base64 of 44 characters, the padding among them"},
		{"a short one", []string{"aHVudGVyMg=="}, "fernet: key 1 of 1 is not a key: it has 7 bytes instead of 32"},
		{"all zeros", []string{strings.Repeat("A", 43) + "="}, "fernet: key 1 of 1 is not a key: it is all zeros"},
	} {
		if m, err := fernet.New(c.keys...); err == nil || err.Error() != c.want || m != nil {
			t.Errorf("%s: %v, %v; want %s", c.name, m, err, c.want)
		}
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	token, err := manager(t, older).Encrypt(t.Context(), []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := string(token)
	for _, c := range []struct{ name, stored, want string }{
		{"nothing", "", "cannot decrypt: it is empty"},
		{"plain JSON", `{"secret":"hunter2"}`, "cannot decrypt: it is not a Fernet token, or a damaged one: it is not base64"},
		{"another scheme", "hunter2A", "cannot decrypt: it is not a Fernet token: it doesn't begin as one"},
		{"in two lines", mine[:40] + "\n" + mine[40:], "cannot decrypt: it is not a Fernet token: it has line breaks"},
		{"half of it", mine[:40], "cannot decrypt: it is a Fernet token that was cut short"},
		{"another key's", mine, "cannot decrypt: it was altered, or encrypted with a key that isn't among the 1 there; Fernet can't tell"},
	} {
		_, err := manager(t, newer).Decrypt(t.Context(), []byte(c.stored), nil)
		if !errors.Is(err, core.ErrDecrypt) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	// An editor ends a file with a line break, and Python passes over it.
	if got, err := manager(t, older).Decrypt(t.Context(), []byte(mine+"\r\n"), nil); err != nil || string(got) != "{}" {
		t.Errorf("a line break behind it: %q, %v", got, err)
	}
}

func TestTheZeroManagerHasNoKeys(t *testing.T) {
	var zero fernet.Manager
	if _, err := zero.Encrypt(t.Context(), []byte("{}"), nil); err == nil {
		t.Error("the zero Manager encrypts")
	}
	token, err := manager(t, newer).Encrypt(t.Context(), []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zero.Decrypt(t.Context(), token, nil); !errors.Is(err, core.ErrDecrypt) || !zero.NeedsRotation(token) {
		t.Errorf("the zero Manager: %v", err)
	}
}

func TestNothingPrintsAKey(t *testing.T) {
	m := manager(t, newer, older)
	type hidden struct{ m *fernet.Manager }
	type byValue struct{ m fernet.Manager }
	var all strings.Builder
	logger := slog.New(slog.NewJSONHandler(&all, nil))
	for _, v := range []any{m, hidden{m}, &hidden{m}, byValue{*m}, &byValue{*m}, []*fernet.Manager{m}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&all, verb+"\n", v)
		}
		logger.Info("m", "v", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	raw := []byte("01234567890123456789012345678901")
	for _, secret := range []string{newer, older, string(raw[:16]), fmt.Sprintf("%x", raw[:8]), strings.Trim(fmt.Sprint(raw[:8]), "[]"), "0x30, 0x31, 0x32"} {
		if strings.Contains(strings.ToLower(all.String()), strings.ToLower(secret)) {
			t.Errorf("%q shows", secret)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", m, m, (*fernet.Manager)(nil)); got != "[fernet keys=2] [fernet keys=2] [fernet nil]" {
		t.Error(got)
	}
}

func FuzzDecrypt(f *testing.F) {
	m := manager(f, newer, older)
	for _, k := range []string{newer, older} {
		token, err := manager(f, k).Encrypt(f.Context(), []byte("{}"), nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	f.Add([]byte(base64.URLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 56)...))))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, token []byte) {
		kept := bytes.Clone(token)
		plaintext, err := m.Decrypt(t.Context(), token, nil)
		if !bytes.Equal(token, kept) {
			t.Fatal("Decrypt changed its argument")
		}
		if err != nil && (plaintext != nil || !errors.Is(err, core.ErrDecrypt)) {
			t.Fatalf("%q, %v", plaintext, err)
		}
		if err == nil && string(plaintext) != "{}" { // nobody but the manager makes what it decrypts
			t.Fatalf("forged %q", plaintext)
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	m := manager(b, newer)
	token, err := m.Encrypt(b.Context(), make([]byte, 6<<10), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(6 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Decrypt(b.Context(), token, nil); err != nil {
			b.Fatal(err)
		}
	}
}

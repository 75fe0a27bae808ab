package crypto_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

func TestAKeyIsReadBackFromItsText(t *testing.T) {
	key := crypto.NewKey()
	for _, text := range []string{key.Reveal(), " " + key.Reveal() + "\r\n"} {
		got, err := crypto.ParseKey(text)
		if err != nil || got.Reveal() != key.Reveal() || got.ID() != key.ID() {
			t.Errorf("ParseKey: %v, %v, want %v", got, err, key)
		}
	}
	if crypto.NewKey().ID() == key.ID() {
		t.Error("two new keys are one")
	}
}

func TestEveryTypoInAKeyIsFoundAndNoneIsQuoted(t *testing.T) {
	text := fixed.Reveal()
	refuse := func(text string) {
		t.Helper()
		key, err := crypto.ParseKey(text)
		if err == nil {
			t.Errorf("ParseKey(%q) = %v", text, key)
			return
		}
		if len(text) > 8 && strings.Contains(err.Error(), text[8:min(len(text), 16)]) {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n\x00\xff"
	for i := range len(text) {
		for _, c := range []byte(alphabet) {
			if c != text[i] {
				refuse(text[:i] + string([]byte{c}) + text[i+1:])
			}
		}
		refuse(text[:i])
		refuse(text[:i] + "A" + text[i:])
		if i > 0 && text[i-1] != text[i] {
			refuse(text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:])
		}
	}
	refuse(text + text)
	refuse("gtkey1_" + strings.Repeat("A", 48))
}

func TestAllZerosAreNoKey(t *testing.T) {
	key := crypto.KeyFromBytes([32]byte{})
	if key.ID() != "" || key.Reveal() != "" || key.String() != "[no key]" {
		t.Errorf("%v, id %q", key, key.ID())
	}
}

func TestKeysAreReadOneToALine(t *testing.T) {
	keys, err := crypto.ReadKeys(strings.NewReader("\ufeff# keys of the mail service\n\n" +
		fixed.Reveal() + " # since March\r\n  " + other.Reveal()))
	if err != nil || len(keys) != 2 || keys[0].ID() != fixed.ID() || keys[1].ID() != other.ID() {
		t.Errorf("%v, %v", keys, err)
	}
	broken := errors.New("broken disk")
	for _, c := range []struct {
		name string
		r    io.Reader
		want string
	}{
		{"nothing", strings.NewReader(""), "crypto: the text has no key in it"},
		{"comments only", strings.NewReader("# none\n\n"), "crypto: the text has no key in it"},
		{"a typo", strings.NewReader("\n" + fixed.Reveal() + "\nhunter2\n"), "line 3: crypto: not a key: it does not begin with gtkey1_"},
		{"half a file", io.MultiReader(strings.NewReader(fixed.Reveal()+"\n"), iotest.ErrReader(broken)), "crypto: reading keys: broken disk"},
	} {
		if keys, err := crypto.ReadKeys(c.r); err == nil || err.Error() != c.want || keys != nil {
			t.Errorf("%s: %v, %v, want %s", c.name, keys, err, c.want)
		}
	}
}

// Programs that show how two values differ read all memory that they reach.
func TestReflectionReachesNoKey(t *testing.T) {
	d := dataKeys(t, unwrapsTo(func() []byte { return secretOf(t, fixed) }), crypto.DataKeyOptions{})
	if _, err := d.Decrypt(t.Context(), []byte("graphtoken:4:aw:d3JhcHBlZA:"+strings.Repeat("x", 28)), nil); !errors.Is(err, core.ErrDecrypt) {
		t.Fatal(err) // the data key is known by now
	}
	for _, v := range []any{fixed, ring(t, fixed, other), transition(t, ring(t, fixed), fernetManager(t)), fernetManager(t), d} {
		var all []byte
		reach(reflect.ValueOf(v), map[uintptr]bool{}, &all)
		for _, secret := range []string{strings.Repeat("\x01", 16), strings.Repeat("\x02", 16), "0123456789012345", "6789012345678901"} {
			if strings.Contains(string(all), secret) {
				t.Errorf("%T shows %q", v, secret)
			}
		}
	}
}

// unwrapsTo is a key service that unwraps everything to one data key.
type unwrapsTo func() []byte

func (unwrapsTo) Wrap(context.Context, []byte) (crypto.WrappedKey, error) {
	return crypto.WrappedKey{}, errors.New("not now")
}

func (u unwrapsTo) Unwrap(context.Context, crypto.WrappedKey) ([]byte, error) { return u(), nil }

// reach appends the numbers and texts that reflection finds in v, as bytes.
func reach(v reflect.Value, seen map[uintptr]bool, all *[]byte) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && !seen[v.Pointer()] {
			seen[v.Pointer()] = true
			reach(v.Elem(), seen, all)
		}
	case reflect.Interface:
		reach(v.Elem(), seen, all)
	case reflect.Struct:
		for i := range v.NumField() {
			reach(v.Field(i), seen, all)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			reach(v.Index(i), seen, all)
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			reach(i.Key(), seen, all)
			reach(i.Value(), seen, all)
		}
	case reflect.String:
		*all = append(*all, v.String()...)
	case reflect.Uint8:
		*all = append(*all, byte(v.Uint()))
	case reflect.Uint32:
		*all = binary.LittleEndian.AppendUint32(*all, uint32(v.Uint()))
	case reflect.Uint64:
		*all = binary.LittleEndian.AppendUint64(*all, v.Uint())
	}
}

func TestNothingPrintsAKey(t *testing.T) {
	key, keyring := crypto.NewKey(), ring(t, crypto.NewKey())
	type hidden struct {
		key     crypto.Key
		pointer *crypto.Key
		ring    *crypto.Keyring
	}
	type shown struct {
		Key     crypto.Key
		Pointer *crypto.Key
		Ring    *crypto.Keyring
	}
	values := []any{
		key, &key, keyring, []crypto.Key{key}, map[string]crypto.Key{"k": key},
		hidden{key, &key, keyring}, &hidden{key, &key, keyring},
		shown{key, &key, keyring}, &shown{key, &key, keyring},
	}
	var all strings.Builder
	text := slog.New(slog.NewTextHandler(&all, nil))
	asJSON := slog.New(slog.NewJSONHandler(&all, nil))
	for _, v := range values {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsqp" {
			for _, flags := range []string{"", "+", "#", "# ", "+#"} {
				fmt.Fprintf(&all, "%"+flags+string(verb)+"\n", v)
			}
		}
		text.Info("m", "v", v)
		asJSON.Info("m", "v", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	// The bytes of the key, in the forms that fmt gives bytes.
	known := filled(0xA7)
	for _, v := range []any{known, &known, hidden{key: known}, ring(t, known), hidden{ring: ring(t, known)}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U"} {
			fmt.Fprintf(&all, verb+"\n", v)
		}
	}
	for _, secret := range []string{
		key.Reveal(), key.Reveal()[7:20], known.Reveal()[7:20], "a7a7", "A7A7", "167 167", "0xa7, 0xa7", "247 247", "10100111 10100111", "§§",
	} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%q shows", secret)
		}
	}
	for _, c := range []struct{ got, want string }{
		{fmt.Sprintf("%v %+v %#v %s %x %d", key, key, key, key, &key, key), strings.TrimSpace(strings.Repeat("[key id="+key.ID()+"] ", 6))},
		{fmt.Sprintf("%#v", shown{Key: crypto.Key{}}.Key), "[no key]"},
		{fmt.Sprint((*crypto.Keyring)(nil)), "[keyring nil]"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if b, err := json.Marshal(shown{Key: key, Ring: keyring}); err != nil || !strings.Contains(string(b), `"Key":"[key id=`+key.ID()+`]","Pointer":null,"Ring":"[keyring ids=`) {
		t.Errorf("as JSON: %s, %v", b, err)
	}
}

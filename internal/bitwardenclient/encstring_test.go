package bitwardenclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

// Bitwarden's own sources publish these for tests: the access token and its key
// in bitwarden-core's access_token.rs, what was encrypted in sdk-sm's fake-server.
const (
	publishedToken   = "0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ=="
	publishedKey     = "H9/oIRLtL9nGCQOVDjSMoEbJsjWXSOCb3qeyDt6ckzS3FhyboEDWyTP/CQfbIszNmAVg2ExFganG1FVFGXO/Jg=="
	publishedPayload = "2.E9fE8+M/VWMfhhim1KlCbQ==|eLsHR484S/tJbIkM6spnG/HP65tj9A6Tba7kAAvUp+rYuQmGLixiOCfMsqt5OvBctDfvvr/AesBu7cZimPLyOEhqEAjn52jF0eaI38XZfeOG2VJl0LOf60Wkfh3ryAMvfvLj3G4ZCNYU8sNgoC2+IQ==|lNApuCQ4Pyakfo/wwuuajWNaEX/2MW8/3rjXB/V7n+k="
	publishedName    = "2.pMS6/icTQABtulw52pq2lg==|XXbxKxDTh+mWiN1HjH2N1w==|Q6PkuT+KX/axrgN9ubD5Ajk2YNwxQkgs3WJM0S0wtG8="
)

func TestBitwardensPublishedVectorsAreRead(t *testing.T) {
	token, err := parseAccessToken(publishedToken + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if token.clientID != "ec2c1d46-6a4b-4751-a310-af9601317f2d" || token.clientSecret != "C2IgxjjLF7qSshsbwe8JGcbM075YXw" {
		t.Errorf("the token's client is %s with %s", token.clientID, token.clientSecret)
	}
	if got := base64.StdEncoding.EncodeToString(token.key[:]); got != publishedKey {
		t.Errorf("the token's key is %s, want %s", got, publishedKey)
	}
	payload, err := token.key.open(publishedPayload)
	if err != nil {
		t.Fatal(err)
	}
	var organization struct {
		Key string `json:"encryptionKey"`
	}
	if err := json.Unmarshal(payload, &organization); err != nil {
		t.Fatal(err)
	}
	key, err := readKey(organization.Key)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := key.open(publishedName); string(name) != "TEST" || err != nil {
		t.Errorf("the name is %q, %v; want TEST", name, err)
	}
}

func TestABrokenAccessTokenIsRefused(t *testing.T) {
	if _, err := parseAccessToken(strings.TrimRight(publishedToken, "=")); err != nil {
		t.Errorf("without padding: %v", err)
	}
	for _, s := range []string{
		"",
		":",
		"0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw",
		"1.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ==",
		"ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ==",
		"0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw.more:X8vbvA0bduihIDe/qrzIQQ==",
		"0.ec2c1d466a4b4751a310af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ==",
		"0.ec2c1d46-6a4b-4751-a310-af9601317f2x.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ==",
		"0.ec2c1d46-6a4b-4751-a310-af9601317f2d.:X8vbvA0bduihIDe/qrzIQQ==",
		"0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzI",
		"0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe!qrzIQQ==",
	} {
		token, err := parseAccessToken(s)
		if err == nil {
			t.Errorf("%q is taken for an access token", s)
			continue
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, token); strings.Contains(text, "C2Igxjj") || strings.Contains(text, "X8vbvA") {
			t.Errorf("the error shows the token: %s", text)
		}
	}
}

// newTestKey is a key of 64 different bytes.
func newTestKey(t testing.TB, first byte) *symmetricKey {
	raw := make([]byte, keyLen)
	for i := range raw {
		raw[i] = first + byte(i)
	}
	key, err := newSymmetricKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &key
}

func TestAnEncryptedTextDecryptsToItself(t *testing.T) {
	key := newTestKey(t, 0)
	for n := range 50 {
		plain := bytes.Repeat([]byte{byte(n)}, n)
		first, second := key.encrypt(plain).String(), key.encrypt(plain).String()
		if first == second {
			t.Errorf("%d bytes are encrypted twice to the same", n)
		}
		if got, err := key.open(first); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes came back as %x, %v", n, got, err)
		}
	}
}

func TestAChangedEncStringIsErrDecrypt(t *testing.T) {
	key, other := newTestKey(t, 0), newTestKey(t, 1)
	whole := key.encrypt([]byte("a token cache, of more than one block"))
	broken := map[string]string{
		"nothing":              "",
		"no type":              strings.TrimPrefix(whole.String(), "2."),
		"without a MAC":        "0." + strings.Join(strings.Split(whole.String()[2:], "|")[:2], "|"),
		"type 1":               "1" + whole.String()[1:],
		"type 7":               "7." + base64.StdEncoding.EncodeToString([]byte("COSE")),
		"a part too many":      whole.String() + "|AAAA",
		"no base64":            strings.Replace(whole.String(), "|", "|!", 1),
		"another key's":        other.encrypt([]byte("plain")).String(),
		"no ciphertext":        encString{iv: whole.iv, mac: whole.mac}.String(),
		"a short vector":       "2." + whole.String()[6:],
		"another MAC key's":    (*symmetricKey)(slices.Concat(key[:32], other[32:])).encrypt([]byte("plain")).String(),
		"more than it was":     encString{whole.iv, append(whole.ciphertext[:len(whole.ciphertext):len(whole.ciphertext)], make([]byte, 16)...), whole.mac}.String(),
		"a block less":         encString{whole.iv, whole.ciphertext[16:], whole.mac}.String(),
		"a part of a block":    encString{whole.iv, whole.ciphertext[1:], whole.mac}.String(),
		"another's ciphertext": encString{whole.iv, key.encrypt([]byte("other")).ciphertext, whole.mac}.String(),
	}
	for i := range len(whole.iv) {
		e := whole
		e.iv[i] ^= 1
		broken[fmt.Sprintf("byte %d of the vector", i)] = e.String()
	}
	for i := range len(whole.mac) {
		e := whole
		e.mac[i] ^= 0x80
		broken[fmt.Sprintf("byte %d of the MAC", i)] = e.String()
	}
	for i := range whole.ciphertext {
		e := whole
		e.ciphertext = bytes.Clone(whole.ciphertext)
		e.ciphertext[i] ^= 1
		broken[fmt.Sprintf("byte %d of the ciphertext", i)] = e.String()
	}
	for n := range len(whole.String()) {
		broken[fmt.Sprintf("the first %d characters", n)] = whole.String()[:n]
	}
	// A text that lacks only its padding is whole.
	for n := len(strings.TrimRight(whole.String(), "=")); n < len(whole.String()); n++ {
		delete(broken, fmt.Sprintf("the first %d characters", n))
	}
	for what, s := range broken {
		plain, err := key.open(s)
		if !errors.Is(err, core.ErrDecrypt) || plain != nil {
			t.Errorf("%s: %q, %v; want core.ErrDecrypt", what, plain, err)
		}
	}
}

func TestTheMACIsCheckedBeforeThePadding(t *testing.T) {
	key := newTestKey(t, 0)
	// Of the last block's predecessor, every change of the last byte but a few
	// breaks the padding; whoever changes it must not learn which.
	for i := 1; i < 256; i++ {
		e := key.encrypt(make([]byte, 20))
		e.ciphertext[15] ^= byte(i)
		if _, err := key.decrypt(e); err == nil || !strings.Contains(err.Error(), "MAC") {
			t.Fatalf("with another ciphertext: %v, want one about the MAC", err)
		}
	}
	// Under a right MAC, and so its key holder's own.
	for what, padded := range map[string][]byte{
		"nothing":              {},
		"a zero":               make([]byte, 16),
		"17 of 16 bytes":       bytes.Repeat([]byte{17}, 16),
		"32 of 32 bytes":       bytes.Repeat([]byte{32}, 32),
		"255":                  bytes.Repeat([]byte{255}, 16),
		"two, one of them not": append(make([]byte, 15), 2),
	} {
		e := key.encrypt(padded)
		e.ciphertext = e.ciphertext[:len(padded)] // without the padding of its own
		copy(e.mac[:], key.sum(e))
		if plain, err := key.open(e.String()); !errors.Is(err, core.ErrDecrypt) || plain != nil || strings.Contains(err.Error(), "MAC") {
			t.Errorf("%s as the padding: %q, %v; want core.ErrDecrypt", what, plain, err)
		}
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	token, err := parseAccessToken(publishedToken)
	if err != nil {
		t.Fatal(err)
	}
	l := &login{bearer: "C2IgxjjLF7qSshsbwe8JGcbM075YXw", organization: "org", key: &token.key}
	s := &session{access: token, state: stateFile{path: "x", key: &token.key}}
	s.current.Store(l)
	c := &client{session: s}
	for _, value := range []any{
		token, *token, &token.key, token.key, l, *l, s, s.state, c, []any{c, l}, map[string]any{"k": token.key},
		Secret{Value: "C2IgxjjLF7qSshsbwe8JGcbM075YXw", Note: "C2IgxjjLF7qSshsbwe8JGcbM075YXw"},
		struct{ S []Secret }{[]Secret{{Value: "C2IgxjjLF7qSshsbwe8JGcbM075YXw"}}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
			text := fmt.Sprintf(verb, value)
			for _, secret := range []string{"C2Igxjj", fmt.Sprintf("%x", "C2Igxjj"), "31 223 232", "0x1f, 0xdf", "1fdfe8"} {
				if strings.Contains(text, secret) {
					t.Errorf("%T printed with %s shows %q: %s", value, verb, secret, text)
				}
			}
		}
	}
}

func FuzzEncString(f *testing.F) {
	key := newTestKey(f, 0)
	for _, seed := range []string{publishedPayload, publishedName, "", "2.", "2.||", "0.AAAA|AAAA", "7.AAAA", key.encrypt(nil).String(), key.encrypt([]byte("x")).String(), strings.ReplaceAll(publishedName, "=", "")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseEncString(s)
		if err != nil {
			if !errors.Is(err, core.ErrDecrypt) {
				t.Fatalf("%v, want core.ErrDecrypt", err)
			}
			return
		}
		again, err := parseEncString(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q is written as %q, which is read as %v, %v", s, e, again, err)
		}
		if _, err := key.decrypt(e); err != nil && !errors.Is(err, core.ErrDecrypt) {
			t.Fatalf("%v, want core.ErrDecrypt", err)
		}
	})
}

func FuzzAccessToken(f *testing.F) {
	for _, seed := range []string{publishedToken, "", ":", "0..:", "1" + publishedToken[1:], strings.TrimRight(publishedToken, "="), publishedToken + " "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := parseAccessToken(s)
		if err != nil {
			if len(s) > 50 && strings.Contains(err.Error(), s) {
				t.Fatalf("the error shows the token: %v", err)
			}
			return
		}
		if !IsUUID(token.clientID) || token.clientSecret == "" || strings.Contains(token.clientSecret, ".") {
			t.Fatalf("%q is taken for a token of %q", s, token.clientID)
		}
	})
}

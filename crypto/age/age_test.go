package age_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	agecrypto "github.com/graphtoken/graphtoken/crypto/age"
)

// fataler is a *testing.T or the conformance suite's.
type fataler interface {
	Fatalf(format string, args ...any)
}

func x25519(t fataler) *age.X25519Identity {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return identity
}

func hybrid(t fataler) *age.HybridIdentity {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return identity
}

func manager(t fataler, o agecrypto.Options, identities ...age.Identity) *agecrypto.Manager {
	m, err := agecrypto.New(identities, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// cheap is the work factor of tests.
const cheap = 10

func passphrase(t fataler, text string, former ...string) *agecrypto.Manager {
	m, err := agecrypto.NewPassphrase(text, agecrypto.PassphraseOptions{WorkFactor: cheap, Former: former})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// underTest is a manager with what the suite may ask of one.
type underTest struct {
	*agecrypto.Manager
	other   func() core.CryptographyManager
	secrets []string
}

func (u underTest) OtherKey(conformance.T) core.CryptographyManager { return u.other() }
func (u underTest) IsWrongKey(err error) bool                       { return errors.Is(err, crypto.ErrUnknownKey) }
func (u underTest) Secrets() []string                               { return u.secrets }

func TestConformance(t *testing.T) {
	one, two, pq, pq2 := x25519(t), x25519(t), hybrid(t), hybrid(t)
	const correct = "correct horse battery staple"
	for name, m := range map[string]underTest{
		"a hybrid key":                   {manager(t, agecrypto.Options{}, pq), func() core.CryptographyManager { return manager(t, agecrypto.Options{}, pq2) }, []string{pq.String()}},
		"several X25519 keys":            {manager(t, agecrypto.Options{Recipients: []age.Recipient{two.Recipient(), one.Recipient()}}, one), func() core.CryptographyManager { return manager(t, agecrypto.Options{}, x25519(t)) }, []string{one.String()}},
		"a passphrase, and a former one": {passphrase(t, correct, "of yesterday, a long one"), func() core.CryptographyManager { return passphrase(t, "incorrect") }, []string{correct, "of yesterday, a long one"}},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.RunCryptography(t, conformance.CryptographyHarness{New: func(conformance.T) core.CryptographyManager { return m }})
		})
	}
}

func encrypt(t *testing.T, m core.CryptographyManager, text string) []byte {
	t.Helper()
	stored, err := m.Encrypt(t.Context(), []byte(text), []byte("ana"))
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func wantDecrypts(t *testing.T, m core.CryptographyManager, stored []byte, text string) {
	t.Helper()
	if got, err := m.Decrypt(t.Context(), stored, []byte("ana")); err != nil || string(got) != text {
		t.Errorf("Decrypt = %q, %v; want %q", got, err, text)
	}
}

func TestAnyOfTheRecipientsDecrypts(t *testing.T) {
	one, two, three := hybrid(t), hybrid(t), hybrid(t)
	both := manager(t, agecrypto.Options{Recipients: []age.Recipient{one.Recipient(), two.Recipient()}})
	stored := encrypt(t, both, "text")
	for _, identity := range []age.Identity{one, two} {
		wantDecrypts(t, manager(t, agecrypto.Options{}, identity), stored, "text")
		wantDecrypts(t, manager(t, agecrypto.Options{}, three, identity), stored, "text")
	}
	if _, err := manager(t, agecrypto.Options{}, three).Decrypt(t.Context(), stored, []byte("ana")); !errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("with another identity: %v, want ErrUnknownKey", err)
	}
	// A manager without an identity only encrypts.
	if _, err := both.Decrypt(t.Context(), stored, []byte("ana")); !errors.Is(err, crypto.ErrUnknownKey) || !errors.Is(err, core.ErrDecrypt) {
		t.Errorf("without an identity: %v, want ErrUnknownKey", err)
	}
}

// A record holds an age file like any other.
func TestTheAgeProgramDecryptsARecord(t *testing.T) {
	identity := x25519(t)
	stored := string(encrypt(t, manager(t, agecrypto.Options{}, identity), "text"))
	parts := strings.Split(stored, ":")
	if len(parts) != 4 || parts[0] != "graphtoken" || parts[1] != "age1" || len(parts[2]) != 16 {
		t.Fatalf("the record is %s", stored)
	}
	file, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(bytes.NewReader(file), identity)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	header := strings.Join(parts[:3], ":") + ":"
	if want := "\x00\x00\x00\x00\x00\x00\x00\x21" + header + "\x00\x00\x00\x00\x00\x00\x00\x03ana" + "text"; err != nil || string(text) != want {
		t.Errorf("the file holds %q, %v; want %q", text, err, want)
	}
}

// Records made once, by the code of their day, decrypt for ever.
func TestRecordsOfOldDecrypt(t *testing.T) {
	text, err := os.ReadFile("testdata/records.json")
	if err != nil {
		t.Fatal(err)
	}
	var records []struct{ Name, Identity, Passphrase, Record string }
	if err := json.Unmarshal(text, &records); err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, r := range records {
		if r.Passphrase != "" {
			wantDecrypts(t, passphrase(t, r.Passphrase), []byte(r.Record), `{"AccessToken":{}}`)
			continue
		}
		identities, err := age.ParseIdentities(strings.NewReader(r.Identity))
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		wantDecrypts(t, manager(t, agecrypto.Options{}, identities...), []byte(r.Record), `{"AccessToken":{}}`)
	}
}

func TestNeedsRotationFollowsTheRecipients(t *testing.T) {
	one, two := x25519(t), x25519(t)
	before, after := manager(t, agecrypto.Options{}, one), manager(t, agecrypto.Options{}, two, one)
	stored := encrypt(t, before, "text")
	wantDecrypts(t, after, stored, "text")
	if before.NeedsRotation(stored) || !after.NeedsRotation(stored) || after.NeedsRotation(encrypt(t, after, "text")) {
		t.Error("NeedsRotation isn't true for the former recipient's record alone")
	}
	// Their order says nothing.
	a := manager(t, agecrypto.Options{Recipients: []age.Recipient{one.Recipient(), two.Recipient()}}, one)
	b := manager(t, agecrypto.Options{Recipients: []age.Recipient{two.Recipient(), one.Recipient()}}, two)
	if a.NeedsRotation(encrypt(t, b, "text")) || !a.NeedsRotation(stored) {
		t.Error("the same recipients in another order are others")
	}
	for _, foreign := range []string{"", "{}", "graphtoken:1:0123456789abcdef:AAAA"} {
		if !before.NeedsRotation([]byte(foreign)) {
			t.Errorf("NeedsRotation is false for %q", foreign)
		}
	}
}

func TestAFormerPassphraseDecryptsAndItsRecordsNeedRotation(t *testing.T) {
	before, after := passphrase(t, "of yesterday"), passphrase(t, "of today", "of yesterday")
	stored := encrypt(t, before, "text")
	wantDecrypts(t, after, stored, "text")
	if !after.NeedsRotation(stored) || after.NeedsRotation(encrypt(t, after, "text")) || before.NeedsRotation(stored) {
		t.Error("NeedsRotation isn't true for the former passphrase's record alone")
	}
}

// unplugged is an identity on a device that isn't there.
type unplugged struct{}

var errUnplugged = errors.New("the device isn't plugged in")

func (unplugged) Unwrap([]*age.Stanza) ([]byte, error) { return nil, errUnplugged }

func TestADeviceThatIsNotThereIsNoDamage(t *testing.T) {
	one := x25519(t)
	stored := encrypt(t, manager(t, agecrypto.Options{}, one), "text")
	m := manager(t, agecrypto.Options{Recipients: []age.Recipient{one.Recipient()}}, unplugged{})
	if _, err := m.Decrypt(t.Context(), stored, []byte("ana")); !errors.Is(err, errUnplugged) || errors.Is(err, core.ErrDecrypt) {
		t.Errorf("Decrypt = %v, want the device's error alone", err)
	}
}

func TestARecordOfMoreWorkThanAllowedIsRefusedAtOnce(t *testing.T) {
	recipient, err := age.NewScryptRecipient("of today")
	if err != nil {
		t.Fatal(err)
	}
	recipient.SetWorkFactor(10)
	var file bytes.Buffer
	w, err := age.Encrypt(&file, recipient)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	// The work factor stands in the header in clear: "-> scrypt <salt> 10".
	planted := bytes.Replace(file.Bytes(), []byte(" 10\n"), []byte(" 19\n"), 1)
	if bytes.Equal(planted, file.Bytes()) {
		t.Fatal("there is no work factor to change")
	}
	record := "graphtoken:age1:0000000000000000:" + base64.RawURLEncoding.EncodeToString(planted)
	if _, err := passphrase(t, "of today").Decrypt(t.Context(), []byte(record), []byte("ana")); !errors.Is(err, core.ErrDecrypt) || errors.Is(err, crypto.ErrUnknownKey) {
		t.Errorf("Decrypt = %v, want core.ErrDecrypt", err)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	scrypt, err := age.NewScryptRecipient("of today")
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() (*agecrypto.Manager, error){
		"nothing": func() (*agecrypto.Manager, error) { return agecrypto.New(nil, agecrypto.Options{}) },
		"a device and no recipient": func() (*agecrypto.Manager, error) {
			return agecrypto.New([]age.Identity{unplugged{}}, agecrypto.Options{})
		},
		"an identity that is nil": func() (*agecrypto.Manager, error) {
			return agecrypto.New([]age.Identity{nil}, agecrypto.Options{Recipients: []age.Recipient{x25519(t).Recipient()}})
		},
		"a passphrase's recipient": func() (*agecrypto.Manager, error) {
			return agecrypto.New(nil, agecrypto.Options{Recipients: []age.Recipient{scrypt}})
		},
		"hybrid and X25519 together": func() (*agecrypto.Manager, error) {
			return agecrypto.New(nil, agecrypto.Options{Recipients: []age.Recipient{hybrid(t).Recipient(), x25519(t).Recipient()}})
		},
		"no passphrase": func() (*agecrypto.Manager, error) { return agecrypto.NewPassphrase("", agecrypto.PassphraseOptions{}) },
		"an empty former one": func() (*agecrypto.Manager, error) {
			return agecrypto.NewPassphrase("a", agecrypto.PassphraseOptions{Former: []string{""}})
		},
		"next to no work": func() (*agecrypto.Manager, error) {
			return agecrypto.NewPassphrase("a", agecrypto.PassphraseOptions{WorkFactor: 1})
		},
		"more work than there": func() (*agecrypto.Manager, error) {
			return agecrypto.NewPassphrase("a", agecrypto.PassphraseOptions{WorkFactor: 30})
		},
	} {
		if m, err := try(); err == nil || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := new(agecrypto.Manager).Encrypt(t.Context(), nil, nil); err == nil {
		t.Error("the zero Manager encrypts")
	}
}

func TestAManagerPrintsNoKey(t *testing.T) {
	identity := x25519(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, manager(t, agecrypto.Options{}, identity)); strings.Contains(strings.ToUpper(text), "AGE-SECRET") || !strings.Contains(text, "recipients=1") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// The benchmark compares age with the keyring.
func BenchmarkDecrypt(b *testing.B) {
	keyring, err := crypto.NewKeyring(crypto.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	for name, m := range map[string]core.CryptographyManager{
		"X25519": manager(b, agecrypto.Options{}, x25519(b)), "hybrid": manager(b, agecrypto.Options{}, hybrid(b)), "Keyring": keyring,
	} {
		stored, err := m.Encrypt(b.Context(), make([]byte, 6<<10), []byte("ana"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.Decrypt(b.Context(), stored, []byte("ana")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

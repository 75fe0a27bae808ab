package crypto_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// vector is an envelope with the key and the steps from which it is made. Those of older
// formats are text, the others base64 of bytes.
type vector struct {
	Name           string `json:"name"`
	Key            string `json:"key"`            // of a keyring
	KeyID          string `json:"key_id"`         //
	ServiceKeyID   string `json:"service_key_id"` // of data keys
	Wrapped        string `json:"wrapped"`        //
	KeyBytes       string `json:"key_bytes"`
	AssociatedData []byte `json:"associated_data"`
	Plaintext      []byte `json:"plaintext"`
	Nonce          string `json:"nonce"`
	AdditionalData string `json:"additional_data"`
	Ciphertext     string `json:"ciphertext"`
	Tag            string `json:"tag"`
	Envelope       string `json:"envelope"`
}

// manager returns one that has the vector's key.
func (v vector) manager(t testing.TB) crypto.Rotator {
	t.Helper()
	if v.Key != "" {
		key, err := crypto.ParseKey(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		return ring(t, key)
	}
	return dataKeys(t, recorded{unhex(t, v.Wrapped), unhex(t, v.KeyBytes)}, crypto.DataKeyOptions{})
}

// header returns the beginning of the vector's envelope.
func (v vector) header(format int) string {
	if v.Key != "" {
		return fmt.Sprintf("graphtoken:%d:%s:", format, v.KeyID)
	}
	base64url := base64.RawURLEncoding.EncodeToString
	wrapped, _ := hex.DecodeString(v.Wrapped)
	return fmt.Sprintf("graphtoken:%d:%s:%s:", format, base64url([]byte(v.ServiceKeyID)), base64url(wrapped))
}

// recorded is a key service that unwraps one wrapped key.
type recorded struct{ wrapped, dataKey []byte }

func (recorded) Wrap(context.Context, []byte) (crypto.WrappedKey, error) {
	return crypto.WrappedKey{}, errors.New("not now")
}

func (r recorded) Unwrap(_ context.Context, w crypto.WrappedKey) ([]byte, error) {
	if !bytes.Equal(w.Data, r.wrapped) {
		return nil, core.ErrDecrypt
	}
	return r.dataKey, nil
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unbase64(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readVectors reads a file of testdata.
func readVectors(t testing.TB, file string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// formats are the files of envelopes that must decrypt for ever, by format.
var formats = map[int]string{1: "vectors.json", 2: "datakeys.json", 3: "vectors-3.json", 4: "datakeys-4.json"}

func TestRecordedEnvelopesOfAllFormatsDecrypt(t *testing.T) {
	for format, file := range formats {
		var vectors []vector
		readVectors(t, file, &vectors)
		if len(vectors) < 3 {
			t.Errorf("%s has %d vectors", file, len(vectors))
		}
		for _, v := range vectors {
			t.Run(file+"/"+v.Name, func(t *testing.T) {
				stored := []byte(v.Envelope)
				if format > 2 {
					stored = unbase64(t, v.Envelope)
				}
				got, err := v.manager(t).Decrypt(t.Context(), stored, v.AssociatedData)
				if err != nil || !bytes.Equal(got, v.Plaintext) {
					t.Errorf("Decrypt = %q, %v", got, err)
				}
				// The steps between, for those who write the same in another language.
				header := v.header(format)
				body, ok := bytes.CutPrefix(stored, []byte(header))
				if !ok {
					t.Fatalf("the envelope %q doesn't begin with %s", stored, header)
				}
				if format < 3 {
					if body, err = base64.RawURLEncoding.DecodeString(string(body)); err != nil {
						t.Fatal(err)
					}
				}
				if v.Key != "" {
					key, _ := crypto.ParseKey(v.Key)
					if key.ID() != v.KeyID || hex.EncodeToString(secretOf(t, key)) != v.KeyBytes {
						t.Errorf("the key is %x with id %s", secretOf(t, key), key.ID())
					}
				}
				n := len(body) - 16
				for _, step := range []struct {
					name, recorded string
					want           []byte
				}{
					{"nonce", v.Nonce, body[:12]},
					{"ciphertext", v.Ciphertext, body[12:n]},
					{"tag", v.Tag, body[n:]},
					{"additional_data", v.AdditionalData, slices.Concat(binary.BigEndian.AppendUint64(nil, uint64(len(header))), []byte(header), v.AssociatedData)},
				} {
					if want := hex.EncodeToString(step.want); step.recorded != want {
						t.Errorf("%s is %s, want %s", step.name, step.recorded, want)
					}
				}
			})
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

func TestRecordedEnvelopesThatMustBeRefusedAre(t *testing.T) {
	for _, file := range []string{"refused.json", "refused-3.json", "refused-4.json"} {
		var vectors struct {
			vector
			Accepted string
			Refused  []struct{ Name, Envelope string }
		}
		readVectors(t, file, &vectors)
		decode := func(text string) []byte {
			if file == "refused.json" {
				return []byte(text)
			}
			return unbase64(t, text)
		}
		m := vectors.manager(t)
		if _, err := m.Decrypt(t.Context(), decode(vectors.Accepted), vectors.AssociatedData); err != nil {
			t.Errorf("%s: the one to be accepted: %v", file, err)
		}
		if len(vectors.Refused) < 20 {
			t.Errorf("%s has %d vectors", file, len(vectors.Refused))
		}
		for _, v := range vectors.Refused {
			if got, err := m.Decrypt(t.Context(), decode(v.Envelope), vectors.AssociatedData); !errors.Is(err, core.ErrDecrypt) || got != nil {
				t.Errorf("%s: %s: %q, %v", file, v.Name, got, err)
			}
		}
	}
}

// Older versions wrote the body as text. Their records need no rotation.
func TestARecordOfAnOlderFormatIsReadAndTheNextSaveReplacesIt(t *testing.T) {
	for older, file := range map[int]string{1: "vectors.json", 2: "datakeys.json"} {
		var vectors []vector
		readVectors(t, file, &vectors)
		v := vectors[0]
		m := v.manager(t)
		got, err := m.Decrypt(t.Context(), []byte(v.Envelope), v.AssociatedData)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := m.Encrypt(t.Context(), got, v.AssociatedData)
		if err != nil || !strings.HasPrefix(string(stored), v.header(older+2)) {
			t.Errorf("Encrypt = %q, %v; want format %d", stored, err, older+2)
		}
		if got, err := m.Decrypt(t.Context(), stored, v.AssociatedData); err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("Decrypt = %q, %v", got, err)
		}
	}
	var vectors []vector
	readVectors(t, formats[1], &vectors)
	v := vectors[0]
	if v.manager(t).NeedsRotation([]byte(v.Envelope)) || !ring(t, other).NeedsRotation([]byte(v.Envelope)) {
		t.Error("a record of an older format needs rotation only under another primary key")
	}
}

// An envelope isn't text. Programs that take it for text change it.
func TestAnEnvelopeThatWasTakenForTextIsRefused(t *testing.T) {
	s := newService("mine")
	for name, m := range map[string]core.CryptographyManager{"a Keyring": ring(t, fixed), "DataKeys": dataKeys(t, s, crypto.DataKeyOptions{})} {
		// The record is so long that each byte occurs in the encrypted form.
		stored, err := m.Encrypt(t.Context(), make([]byte, 64<<10), []byte("ana"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(stored)
		latin1 := make([]rune, len(stored))
		for i, b := range stored {
			latin1[i] = rune(b)
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var unquoted string
		if err := json.Unmarshal(quoted, &unquoted); err != nil {
			t.Fatal(err)
		}
		for how, altered := range map[string]string{
			"an editor ends it with a line end":         text + "\n",
			"an editor on Windows ends it so":           text + "\r\n",
			"a transfer converts line ends":             strings.ReplaceAll(text, "\n", "\r\n"),
			"a transfer converts them back":             strings.ReplaceAll(text, "\r\n", "\n"),
			"a shell drops NUL bytes":                   strings.ReplaceAll(text, "\x00", ""),
			"a C string ends at a NUL":                  text[:strings.IndexByte(text, 0)],
			"a program reads Latin-1 and writes UTF-8":  string(latin1),
			"a program replaces invalid UTF-8":          strings.ToValidUTF8(text, "\ufffd"),
			"a program leaves invalid UTF-8 out":        strings.ToValidUTF8(text, ""),
			"JSON has it as a string":                   unquoted,
			"a program writes a byte order mark before": "\ufeff" + text,
			"it is quoted":                              fmt.Sprintf("%q", text),
		} {
			if altered == text {
				continue // no CRLF among these bytes
			}
			got, err := m.Decrypt(t.Context(), []byte(altered), []byte("ana"))
			if !errors.Is(err, core.ErrDecrypt) || errors.Is(err, crypto.ErrUnknownKey) || got != nil {
				t.Errorf("%s, %s: %.20q, %v; want core.ErrDecrypt alone", name, how, got, err)
			}
		}
	}
}

package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto/fernet"
)

// The first is the key of testdata/python-o365/fernet_token.txt.
const (
	fernetKey  = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	fernetNext = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
)

func newFernet(t *testing.T, keys ...string) *fernet.Manager {
	t.Helper()
	m, err := fernet.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPythonAndGoReadEachOthersFernetTokens(t *testing.T) {
	next := newFernet(t, fernetNext, fernetKey)
	var plain, tokens [][]byte
	for size := range 70 { // every padding, several times
		b := make([]byte, size*size)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		m := newFernet(t, fernetKey)
		if size%2 == 1 {
			m = next
		}
		token, err := m.Encrypt(t.Context(), b, []byte("passed over"))
		if err != nil {
			t.Fatal(err)
		}
		plain, tokens = append(plain, b), append(tokens, token)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	writeFile(t, bytes.Join(tokens, []byte("\n")), file)
	p := o365(t, "PEER_KEYS="+fernetNext+" "+fernetKey, "PEER_TOKENS="+file)
	var answers []struct {
		Plain []byte
		Token string
	}
	p.run(t, "fernet_round", &answers)
	if len(answers) != len(plain) {
		t.Fatalf("Python decrypted %d of %d tokens", len(answers), len(plain))
	}
	for i, a := range answers {
		if !bytes.Equal(a.Plain, plain[i]) {
			t.Errorf("Python decrypted %d bytes to others than Go encrypted", len(plain[i]))
		}
		got, err := next.Decrypt(t.Context(), []byte(a.Token), nil)
		if err != nil || !bytes.Equal(got, plain[i]) {
			t.Errorf("Go decrypted %d bytes to others than Python encrypted: %v", len(plain[i]), err)
		}
		if next.NeedsRotation([]byte(a.Token)) || !newFernet(t, fernetKey).NeedsRotation([]byte(a.Token)) {
			t.Error("MultiFernet's token is the first key's, and no other's")
		}
	}
}

func TestPythonO365AndTheFilesystemBackendShareAFernetFile(t *testing.T) {
	const key = "fernet_token.txt"
	dir := t.TempDir()
	writeFile(t, readFile(t, "testdata", "python-o365", key), dir, key)
	backend, err := filesystem.New(dir, filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend, core.WithCryptography(newFernet(t, fernetKey)))

	// Go reads what Python wrote.
	c, v := load(t, store, key)
	wantTokens(t, c, ana, "at-ana", "rt-ana")
	wantTokens(t, c, bo, "at-bo", "")
	if _, err := store.Save(t.Context(), key, c, v); err != nil {
		t.Fatal(err)
	}
	if stored := readFile(t, dir, key); !bytes.HasPrefix(stored, []byte("gAAAAA")) || newFernet(t, fernetKey).NeedsRotation(stored) {
		t.Errorf("Go stored no token of the key: %.10q", stored)
	}

	// Python reads what Go wrote, and changes it.
	p := o365(t, "PEER_KEYS="+fernetKey, "PEER_DIR="+dir, "PEER_NAME="+key)
	var users map[string]user
	p.run(t, "o365_fernet_file", &users)
	wantUser(t, users, "ana@contoso.com", anaUser)
	wantUser(t, users, "bo@contoso.com", boUser)
	p.run(t, "o365_fernet_file_refresh", &users)
	wantUser(t, users, "ana@contoso.com", user{Access: "at-python", Refresh: "rt-python", Home: anaHome, Scopes: mail})

	// Go changes it with a new key first, and Python's MultiFernet reads that.
	rotated := core.NewStore(backend, core.WithCryptography(newFernet(t, fernetNext, fernetKey)))
	c, _ = load(t, rotated, key)
	wantTokens(t, c, ana, "at-python", "rt-python")
	if err := rotated.Update(t.Context(), key, func(c *tokencache.Cache) error { return refreshBo(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	p = o365(t, "PEER_KEYS="+fernetNext+" "+fernetKey, "PEER_DIR="+dir, "PEER_NAME="+key)
	p.run(t, "o365_fernet_file", &users)
	wantUser(t, users, "ana@contoso.com", user{Access: "at-python", Refresh: "rt-python", Home: anaHome, Scopes: mail})
	wantUser(t, users, "bo@contoso.com", user{Access: "at-go", Refresh: "rt-go", Home: boHome, Scopes: onlyMe})
}

func TestPythonO365AndTheEnvBackendShareAFernetVariable(t *testing.T) {
	p := o365(t, "PEER_KEYS="+fernetKey)
	t.Setenv("O365TOKEN", string(readFile(t, "testdata", "python-o365", "fernet_token.txt")))
	backend, err := env.New(env.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend, core.WithCryptography(newFernet(t, fernetKey)))
	if err := store.Update(t.Context(), "O365TOKEN", func(c *tokencache.Cache) error { return refreshBo(t.Context(), c) }); err != nil {
		t.Fatal(err)
	}
	var users map[string]user
	p.run(t, "o365_fernet_env", &users)
	wantUser(t, users, "ana@contoso.com", anaUser)
	wantUser(t, users, "bo@contoso.com", user{Access: "at-go", Refresh: "rt-go", Home: boHome, Scopes: onlyMe})

	var value string
	p.run(t, "o365_fernet_env_refresh", &value)
	t.Setenv("O365TOKEN", value)
	c, _ := load(t, store, "O365TOKEN")
	wantTokens(t, c, ana, "at-python", "rt-python")
	wantTokens(t, c, bo, "at-go", "rt-go")
}

func TestPythonOpensEnvelopesAsTheyAreDescribed(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "envelope.md")
	for file, command := range map[string]string{
		"vectors.json": "older_envelopes", "datakeys.json": "older_envelopes", "vectors-3.json": "envelopes", "datakeys-4.json": "envelopes",
	} {
		vectors := filepath.Join("..", "..", "crypto", "testdata", file)
		var want []struct {
			Name      string
			Plaintext string
		}
		if err := json.Unmarshal(readFile(t, vectors), &want); err != nil {
			t.Fatal(err)
		}
		var got []string
		o365(t, "PEER_VECTORS="+vectors, "PEER_PAGE="+page).run(t, command, &got)
		if len(got) != len(want) || len(got) == 0 {
			t.Fatalf("%s: Python opened %d of %d envelopes", file, len(got), len(want))
		}
		for i, v := range want {
			if got[i] != v.Plaintext {
				t.Errorf("%s: Python finds %s, want %s", v.Name, decoded(got[i]), decoded(v.Plaintext))
			}
		}
	}
}

func decoded(text string) string {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(b), "?")
}

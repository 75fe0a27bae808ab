package vaulttransit_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
)

const token = "hvs.the-token-of-a-test-0123456789"

// server is a double of Vault's transit engine: keys with versions, what a token is
// allowed, a seal. Its answers' words are those of Vault's source (sdk/helper/keysutil).
type server struct {
	*httptest.Server

	mu       sync.Mutex
	keys     map[string]*transitKey // by namespace, mount and name: "team/transit/tokens"
	sealed   bool
	answer   func(w http.ResponseWriter, r *http.Request) bool // answers first, where it says so
	requests int
}

type transitKey struct {
	versions []cipher.AEAD
	oldest   int // the lowest version that may decrypt
}

func newServer() *server {
	s := &server{keys: map[string]*transitKey{}}
	s.Server = httptest.NewTLSServer(s)
	return s
}

// rotate gives a key another version, and makes the key where there is none.
func (s *server) rotate(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var secret [32]byte
	rand.Read(secret[:])
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	if s.keys[path] == nil {
		s.keys[path] = &transitKey{oldest: 1}
	}
	s.keys[path].versions = append(s.keys[path].versions, aead)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	refuse := func(status int, words ...string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string][]string{"errors": words})
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	parts := strings.Split(path, "/")
	switch {
	case s.answer != nil && s.answer(w, r):
		return
	case s.sealed:
		refuse(http.StatusServiceUnavailable, "Vault is sealed")
		return
	case r.Header.Get("X-Vault-Token") != token:
		refuse(http.StatusForbidden, "permission denied")
		return
	case !ok || r.Method != http.MethodPost || r.Header.Get("X-Vault-Request") != "true" || len(parts) < 3:
		refuse(http.StatusNotFound, "no handler for route")
		return
	}
	name, op, mount := parts[len(parts)-1], parts[len(parts)-2], strings.Join(parts[:len(parts)-2], "/")
	key := s.keys[strings.TrimPrefix(r.Header.Get("X-Vault-Namespace")+"/"+mount+"/"+name, "/")]
	if key == nil {
		refuse(http.StatusBadRequest, "encryption key not found")
		return
	}
	var q struct {
		Plaintext      string `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData []byte `json:"associated_data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(http.StatusBadRequest, "failed to parse JSON input")
		return
	}
	data := map[string]any{}
	var err error
	switch op {
	case "encrypt":
		data["ciphertext"], err = key.encrypt(q.Plaintext, q.AssociatedData)
		data["key_version"] = len(key.versions)
	case "decrypt":
		data["plaintext"], err = key.decrypt(q.Ciphertext, q.AssociatedData)
	default:
		refuse(http.StatusNotFound, "unsupported path")
		return
	}
	if err != nil {
		refuse(http.StatusBadRequest, err.Error())
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "data": data})
}

func (k *transitKey) encrypt(plaintext string, associatedData []byte) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(plaintext)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, 12)
	rand.Read(nonce)
	sealed := k.versions[len(k.versions)-1].Seal(nonce, nonce, raw, associatedData)
	return fmt.Sprintf("vault:v%d:%s", len(k.versions), base64.StdEncoding.EncodeToString(sealed)), nil
}

func (k *transitKey) decrypt(ciphertext string, associatedData []byte) (string, error) {
	rest, ok := strings.CutPrefix(ciphertext, "vault:v")
	if !ok {
		return "", fmt.Errorf("invalid ciphertext: no prefix")
	}
	number, text, ok := strings.Cut(rest, ":")
	if !ok {
		return "", fmt.Errorf("invalid ciphertext: wrong number of fields")
	}
	version, err := strconv.Atoi(number)
	switch {
	case err != nil:
		return "", fmt.Errorf("invalid ciphertext: version number could not be decoded")
	case version == 0:
		version = 1 // as old servers counted
	case version > len(k.versions):
		return "", fmt.Errorf("invalid ciphertext: version is too new")
	case version < k.oldest:
		return "", fmt.Errorf("ciphertext or signature version is disallowed by policy (too old)")
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("invalid ciphertext: could not decode base64")
	}
	if len(sealed) < 12 {
		return "", fmt.Errorf("invalid ciphertext length")
	}
	raw, err := k.versions[version-1].Open(nil, sealed[:12], sealed[12:], associatedData)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

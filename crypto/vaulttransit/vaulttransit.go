// Package vaulttransit wraps the data keys of records with a key of the transit secrets
// engine of HashiCorp Vault or OpenBao, through their HTTP API.
//
//	key, err := vaulttransit.New("https://vault.example:8200", "tokens", vaulttransit.Options{
//		Token: vaulttransit.TokenFromFile("/run/vault/token"),
//	})
//	if err != nil {
//		return err
//	}
//	dataKeys, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(dataKeys))
//
// Wrap is a request to /transit/encrypt/:name, and Unwrap one to /transit/decrypt/:name:
// https://developer.hashicorp.com/vault/api-docs/secret/transit
package vaulttransit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/crypto"
)

// Options configures a [Key].
type Options struct {
	// Token returns the token for one request, and is called for each. Nil sends no
	// token: for an agent that adds its own.
	Token func(ctx context.Context) (string, error)

	// Mount is the path of the transit engine. Empty means "transit".
	Mount string

	// Namespace is a namespace of Vault Enterprise or OpenBao. Empty means the root.
	Namespace string

	// AssociatedData is bound to each data key: Unwrap needs the same bytes.
	AssociatedData []byte

	// HTTPClient sends the requests, with its timeout and its TLS configuration. Redirects
	// are not followed, because the token would be sent along. Nil means a client with the
	// system's root certificates.
	HTTPClient *http.Client
}

// Key is a symmetric key of a transit engine that wraps data keys.
type Key struct {
	address   string // with the mount: https://vault.example:8200/v1/transit
	name      string
	id        string // the key's name in records, without a version
	namespace string
	data      []byte
	token     func(context.Context) (string, error)
	client    *http.Client
}

var _ crypto.KeyService = (*Key)(nil)

// names are the names of keys that the engine takes.
var names = regexp.MustCompile(`^\w[\w.-]*$`)

// New returns the key of this name in the transit engine of the server at address. It sends
// nothing. An address without TLS is refused unless it is a loopback address: the token and
// the data keys would be readable on the way.
func New(address, name string, o Options) (*Key, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("vaulttransit: the server's address is not of the form https://host:port")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && bearer.Loopback(u.Hostname())) {
		return nil, fmt.Errorf("vaulttransit: the address of %s has no TLS; the token would be readable on the way", core.Printable(u.Host))
	}
	if !names.MatchString(name) {
		return nil, fmt.Errorf("vaulttransit: %q can't be a key's name", core.Printable(name))
	}
	mount := strings.Trim(o.Mount, "/")
	if mount == "" {
		mount = "transit"
	}
	namespace := strings.Trim(o.Namespace, "/")
	for _, part := range strings.Split(mount+"/"+namespace, "/") {
		if part == "." || part == ".." {
			return nil, fmt.Errorf("vaulttransit: %q isn't a valid path", part)
		}
	}
	client := new(http.Client)
	if o.HTTPClient != nil {
		*client = *o.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Key{
		address:   u.JoinPath("v1", mount).String(),
		name:      name,
		id:        strings.TrimPrefix(namespace+"/"+mount+"/keys/"+name, "/"),
		namespace: namespace,
		data:      bytes.Clone(o.AssociatedData),
		token:     o.Token,
		client:    client,
	}, nil
}

// TokenFromFile returns an [Options.Token] that reads the file for each request. Vault's
// agent writes and replaces such a file.
func TokenFromFile(name string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			return "", fmt.Errorf("the file %s is empty", name)
		}
		return string(text), nil
	}
}

// request is the body of both requests. A []byte is base64 in JSON, as the engine wants it.
type request struct {
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData []byte `json:"associated_data,omitempty"`
}

// answer is the body of both answers.
type answer struct {
	Data struct {
		Plaintext  []byte `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
	} `json:"data"`
}

// Wrap implements [crypto.KeyService].
func (k *Key) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	got, err := k.ask(ctx, "encrypt", request{Plaintext: dataKey, AssociatedData: k.data})
	if err != nil {
		return crypto.WrappedKey{}, k.fail("encrypt", classify(err, false))
	}
	version := versionOf(got.Data.Ciphertext)
	if version == "" {
		return crypto.WrappedKey{}, k.fail("encrypt", errors.New("the answer doesn't come from a transit engine: its ciphertext has no version"))
	}
	return crypto.WrappedKey{KeyID: k.id + ":" + version, Data: []byte(got.Data.Ciphertext)}, nil
}

// Unwrap implements [crypto.KeyService].
func (k *Key) Unwrap(ctx context.Context, wrapped crypto.WrappedKey) ([]byte, error) {
	if versionOf(string(wrapped.Data)) == "" {
		return nil, k.fail("decrypt", fmt.Errorf("%w: the record's data key isn't a ciphertext of a transit engine", core.ErrDecrypt))
	}
	got, err := k.ask(ctx, "decrypt", request{Ciphertext: string(wrapped.Data), AssociatedData: k.data})
	if err == nil {
		return got.Data.Plaintext, nil
	}
	err = classify(err, true)
	// The engine can't tell another key from damage. The record's word for the key is only believed
	// to say which of the two it is.
	if errors.Is(err, core.ErrDecrypt) && !strings.HasPrefix(wrapped.KeyID, k.id+":") {
		err = fmt.Errorf("%w: %w", crypto.ErrUnknownKey, err)
	}
	return nil, k.fail("decrypt", err)
}

// versionOf returns the version in a ciphertext, "v2" of "vault:v2:…", or nothing.
func versionOf(ciphertext string) string {
	rest, ok := strings.CutPrefix(ciphertext, "vault:")
	version, _, more := strings.Cut(rest, ":")
	if !ok || !more || len(version) < 2 || version[0] != 'v' || strings.Trim(version[1:], "0123456789") != "" {
		return ""
	}
	return version
}

func (k *Key) fail(op string, err error) error {
	return fmt.Errorf("vaulttransit: %s with %s: %w", op, core.Printable(k.id), err)
}

// StatusError is an answer of the server that isn't success.
type StatusError struct {
	Status int      // of HTTP
	Errors []string // the server's words
}

// Error tells the status and what the server said.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if len(e.Errors) > 0 {
		text += ": " + core.Printable(strings.Join(e.Errors, "; "))
	}
	return text
}

// ask sends one request. Its error is a *StatusError where the server answered.
func (k *Key) ask(ctx context.Context, op string, body request) (answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.address+"/"+op+"/"+k.name, bytes.NewReader(text))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Request", "true")
	if k.namespace != "" {
		r.Header.Set("X-Vault-Namespace", k.namespace)
	}
	if k.token != nil {
		token, err := k.token(ctx)
		if err != nil {
			return answer{}, fmt.Errorf("no token: %w", err)
		}
		r.Header.Set("X-Vault-Token", token)
	}
	resp, err := k.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		refusal := StatusError{Status: resp.StatusCode}
		_ = json.Unmarshal(text, &refusal) // what isn't JSON is a proxy's, and its status is enough
		return answer{}, &StatusError{Status: resp.StatusCode, Errors: refusal.Errors}
	}
	var got answer
	if json.Unmarshal(text, &got) != nil { // its error could quote the data key
		return answer{}, errors.New("the answer is none of a transit engine: it is not JSON of the right shape")
	}
	return got, nil
}

// classify says which of the three kinds of failure that crypto tells apart an error is.
// The meaning of the statuses: https://developer.hashicorp.com/vault/api-docs#http-status-codes
func classify(err error, unwraps bool) error {
	var answer *StatusError
	if !errors.As(err, &answer) {
		return err
	}
	said := func(text string) bool { return strings.Contains(strings.Join(answer.Errors, "\n"), text) }
	switch {
	case unwraps && said("message authentication failed"): // a server of 2020 answers 500
		return fmt.Errorf("%w: %w", core.ErrDecrypt, err)
	case answer.Status == http.StatusBadRequest && unwraps && said("disallowed by policy"):
		return fmt.Errorf("%w: the key's min_decryption_version is above the version that wrapped the data key: %w", crypto.ErrKeyDenied, err)
	case answer.Status == http.StatusBadRequest && unwraps && said("invalid ciphertext"):
		return fmt.Errorf("%w: %w", core.ErrDecrypt, err)
	case answer.Status == http.StatusServiceUnavailable && said("sealed"):
		return fmt.Errorf("the server is sealed: %w", err)
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: %w", crypto.ErrKeyDenied, err)
	}
	return err
}

// String names the key.
func (k *Key) String() string { return "[transit key " + core.Printable(k.id) + "]" }

// Format prints String, whatever the verb: fmt would show what the client holds.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

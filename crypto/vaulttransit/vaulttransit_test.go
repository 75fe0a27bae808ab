package vaulttransit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/vaulttransit"
	"github.com/graphtoken/graphtoken/internal/testkit/keyservicetest"
)

func withToken(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

func newKey(t testing.TB, s *server, name string, o vaulttransit.Options) *vaulttransit.Key {
	if o.Token == nil {
		o.Token = withToken(token)
	}
	o.HTTPClient = s.Client()
	k, err := vaulttransit.New(s.URL, name, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

func TestConformance(t *testing.T) {
	s := newServer()
	defer s.Close()
	s.rotate("transit/tokens")
	s.rotate("transit/other")
	o := vaulttransit.Options{AssociatedData: []byte("tokens of the mail program")}
	key, other := newKey(t, s, "tokens", o), newKey(t, s, "other", o)
	keyservicetest.Conform(t, key, other, token)
}

// TestLive runs on a server of Vault or OpenBao, with two keys of its transit engine:
//
//	VAULT_ADDR=https://… VAULT_TOKEN=… [VAULT_NAMESPACE=…] GRAPHTOKEN_LIVE_TRANSIT_KEYS=one,two go test -run Live
func TestLive(t *testing.T) {
	one, two, ok := strings.Cut(os.Getenv("GRAPHTOKEN_LIVE_TRANSIT_KEYS"), ",")
	if !ok {
		t.Skip("GRAPHTOKEN_LIVE_TRANSIT_KEYS doesn't name two keys")
	}
	open := func(name string) *vaulttransit.Key {
		key, err := vaulttransit.New(os.Getenv("VAULT_ADDR"), name, vaulttransit.Options{Token: withToken(os.Getenv("VAULT_TOKEN")), Namespace: os.Getenv("VAULT_NAMESPACE")})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, other := open(one), open(two)
	keyservicetest.Conform(t, key, other, token)
}

func TestEachKindOfFailureIsToldFromTheOthers(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(s *server, o *vaulttransit.Options, w *crypto.WrappedKey)
		want  string
	}{
		{"nothing is wrong", func(*server, *vaulttransit.Options, *crypto.WrappedKey) {}, "no error"},
		{"the data key was altered", func(_ *server, _ *vaulttransit.Options, w *crypto.WrappedKey) { w.Data[len(w.Data)-3] ^= 1 }, "damaged"},
		{"the data key is no text of the engine's", func(_ *server, _ *vaulttransit.Options, w *crypto.WrappedKey) { w.Data = []byte("AAAA") }, "damaged"},
		{"the data key's version isn't there yet", func(_ *server, _ *vaulttransit.Options, w *crypto.WrappedKey) { w.Data[7] = '9' }, "damaged"},
		{"the associated data are others", func(_ *server, o *vaulttransit.Options, _ *crypto.WrappedKey) { o.AssociatedData = []byte("a") }, "damaged"},
		{"another key wrapped the data key", func(s *server, _ *vaulttransit.Options, w *crypto.WrappedKey) {
			s.rotate("transit/other")
			*w = keyservicetest.Wrap(t, newKey(t, s, "other", vaulttransit.Options{}))
		}, "another key's"},
		{"the token may not", func(_ *server, o *vaulttransit.Options, _ *crypto.WrappedKey) { o.Token = withToken("no") }, "denied"},
		{"the key is gone", func(s *server, _ *vaulttransit.Options, _ *crypto.WrappedKey) { delete(s.keys, "transit/tokens") }, "denied"},
		{"the engine is not mounted there", func(_ *server, o *vaulttransit.Options, _ *crypto.WrappedKey) { o.Mount = "elsewhere" }, "denied"},
		{"the key's old versions may not decrypt", func(s *server, _ *vaulttransit.Options, _ *crypto.WrappedKey) { s.keys["transit/tokens"].oldest = 2 }, "denied"},
		{"the server is sealed", func(s *server, _ *vaulttransit.Options, _ *crypto.WrappedKey) { s.sealed = true }, "unreachable"},
		{"the server is gone", func(s *server, _ *vaulttransit.Options, _ *crypto.WrappedKey) { s.Close() }, "unreachable"},
		{"the token's file is gone", func(_ *server, o *vaulttransit.Options, _ *crypto.WrappedKey) {
			o.Token = vaulttransit.TokenFromFile(filepath.Join(t.TempDir(), "token"))
		}, "unreachable"},
		{"there are too many requests", answering(http.StatusTooManyRequests, `{"errors":["request path \"transit\": rate limit quota exceeded"]}`), "unreachable"},
		{"a proxy stands there", answering(http.StatusBadGateway, "<html>"), "unreachable"},
		{"a proxy answers for the server", answering(http.StatusOK, "<html>"), "unreachable"},
		{"a server of 2020 calls damage its own mistake", answering(http.StatusInternalServerError, `{"errors":["1 error occurred:\n\t* cipher: message authentication failed\n\n"]}`), "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer()
			defer s.Close()
			s.rotate("transit/tokens")
			w := keyservicetest.Wrap(t, newKey(t, s, "tokens", vaulttransit.Options{}))
			if w.KeyID != "transit/keys/tokens:v1" {
				t.Errorf("the wrapped key names %s", w.KeyID)
			}
			var o vaulttransit.Options
			c.fault(s, &o, &w)
			got, err := newKey(t, s, "tokens", o).Unwrap(t.Context(), w)
			if keyservicetest.Kind(err) != c.want || err == nil && !bytes.Equal(got, keyservicetest.DataKey) {
				t.Errorf("Unwrap = %x, %v, which is %s; want %s", got, err, keyservicetest.Kind(err), c.want)
			}
		})
	}
}

// answering is a fault: the server answers anything alike.
func answering(status int, body string) func(*server, *vaulttransit.Options, *crypto.WrappedKey) {
	return func(s *server, _ *vaulttransit.Options, _ *crypto.WrappedKey) {
		s.answer = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
}

func TestARotatedKeyUnwrapsWhatItsFormerVersionWrapped(t *testing.T) {
	s := newServer()
	defer s.Close()
	s.rotate("team/mounted/here/tokens")
	key := newKey(t, s, "tokens", vaulttransit.Options{Namespace: "team", Mount: "mounted/here"})
	first := keyservicetest.Wrap(t, key)
	s.rotate("team/mounted/here/tokens")
	second := keyservicetest.Wrap(t, key)
	if first.KeyID != "team/mounted/here/keys/tokens:v1" || second.KeyID != "team/mounted/here/keys/tokens:v2" {
		t.Errorf("the wrapped keys name %s and %s", first.KeyID, second.KeyID)
	}
	for _, w := range []crypto.WrappedKey{first, second} {
		if got, err := key.Unwrap(t.Context(), w); err != nil || !bytes.Equal(got, keyservicetest.DataKey) {
			t.Errorf("%s: %x, %v", w.KeyID, got, err)
		}
	}
}

// A standby that redirects would be given the token, and so would whoever it names.
func TestARedirectIsNotFollowed(t *testing.T) {
	s, elsewhere := newServer(), newServer()
	defer s.Close()
	defer elsewhere.Close()
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	_, err := newKey(t, s, "tokens", vaulttransit.Options{}).Wrap(t.Context(), make([]byte, 32))
	var answer *vaulttransit.StatusError
	if !errors.As(err, &answer) || answer.Status != http.StatusTemporaryRedirect || elsewhere.requests > 0 {
		t.Errorf("Wrap = %v, and the other server got %d requests", err, elsewhere.requests)
	}
}

func TestTheTokensFileIsReadForEachRequest(t *testing.T) {
	s := newServer()
	defer s.Close()
	s.rotate("transit/tokens")
	file := filepath.Join(t.TempDir(), "token")
	key := newKey(t, s, "tokens", vaulttransit.Options{Token: vaulttransit.TokenFromFile(file)})
	for _, c := range []struct{ text, want string }{{"expired", "denied"}, {token + "\n", "no error"}, {"\n", "unreachable"}} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := key.Wrap(t.Context(), make([]byte, 32)); keyservicetest.Kind(err) != c.want {
			t.Errorf("with %q in the file: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	for name, try := range map[string]func() (*vaulttransit.Key, error){
		"an address without TLS": func() (*vaulttransit.Key, error) {
			return vaulttransit.New("http://vault.example:8200", "k", vaulttransit.Options{})
		},
		"no address": func() (*vaulttransit.Key, error) { return vaulttransit.New("", "k", vaulttransit.Options{}) },
		"an address with a password": func() (*vaulttransit.Key, error) {
			return vaulttransit.New("https://a:b@vault.example", "k", vaulttransit.Options{})
		},
		"no key": func() (*vaulttransit.Key, error) {
			return vaulttransit.New("https://vault.example", "", vaulttransit.Options{})
		},
		"a path for a key": func() (*vaulttransit.Key, error) {
			return vaulttransit.New("https://vault.example", "../sys/seal", vaulttransit.Options{})
		},
		"a mount that leads away": func() (*vaulttransit.Key, error) {
			return vaulttransit.New("https://vault.example", "k", vaulttransit.Options{Mount: "a/../b"})
		},
	} {
		if k, err := try(); err == nil || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	for _, address := range []string{"http://127.0.0.1:8100", "http://localhost:8100", "http://[::1]:8100", "https://vault.example/behind/a/proxy/"} {
		if _, err := vaulttransit.New(address, "k", vaulttransit.Options{}); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAKeyPrintsItsNameAlone(t *testing.T) {
	s := newServer()
	defer s.Close()
	key := newKey(t, s, "tokens", vaulttransit.Options{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, key); text != "[transit key transit/keys/tokens]" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestRecordsMoveToTheNewVersionAndThenNeedTheOldOneNoMore(t *testing.T) {
	s := newServer()
	defer s.Close()
	s.rotate("transit/tokens")
	open := func() *crypto.DataKeys {
		d, err := crypto.NewDataKeys(newKey(t, s, "tokens", vaulttransit.Options{}), crypto.DataKeyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ana, d := []byte("ana"), open()
	before, err := d.Encrypt(t.Context(), []byte("{}"), ana)
	if err != nil {
		t.Fatal(err)
	}
	s.rotate("transit/tokens")
	if err := d.Prepare(t.Context()); err != nil || !d.NeedsRotation(before) {
		t.Errorf("after the key's rotation: %v, NeedsRotation %v", err, d.NeedsRotation(before))
	}
	after, err := d.Encrypt(t.Context(), []byte("{}"), ana)
	if err != nil || d.NeedsRotation(after) {
		t.Fatalf("Encrypt: %v, NeedsRotation %v", err, d.NeedsRotation(after))
	}
	s.keys["transit/tokens"].oldest = 2
	if _, err := open().Decrypt(t.Context(), after, ana); err != nil {
		t.Errorf("a record under the new version: %v", err)
	}
	if _, err := open().Decrypt(t.Context(), before, ana); !errors.Is(err, crypto.ErrKeyDenied) {
		t.Errorf("a record under the old version: %v, want ErrKeyDenied", err)
	}
}

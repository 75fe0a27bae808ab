// Package redaction_test tries what programs print, log, encode and compare
// values with on everything of ours that holds a token. No token may show.
package redaction_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"text/template"
	"time"

	"github.com/davecgh/go-spew/spew"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/age"
	"github.com/graphtoken/graphtoken/crypto/fernet"
	"github.com/graphtoken/graphtoken/crypto/vaulttransit"
)

// canary is every token of these tests, and a key of 32 bytes. A dump of 16 bytes
// a line has the word in one of them whole.
const (
	word   = "CANARY"
	canary = word + "token" + word + "0123456789abcde"
)

// leak says in which form the canary is in text, or "".
func leak(text string) string {
	squeezed := strings.ToLower(strings.NewReplacer(" ", "", "0x", "", ",", "").Replace(text))
	switch {
	case strings.Contains(text, word):
		return "text"
	case strings.Contains(text, strings.Trim(fmt.Sprint([]byte(word)), "[]")):
		return "decimal bytes"
	case strings.Contains(squeezed, hex.EncodeToString([]byte(word))):
		return "hexadecimal"
	}
	raw := []byte(canary)
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), raw...))
		if strings.Contains(text, encoded[4:28]) {
			return "base64"
		}
	}
	return ""
}

func TestTheCanaryIsFoundInEveryForm(t *testing.T) {
	for form, text := range map[string]string{
		"text": "x" + canary, "decimal bytes": fmt.Sprint([]byte("x" + canary)), "hexadecimal": fmt.Sprintf("%X", canary),
		"base64": base64.StdEncoding.EncodeToString([]byte("ab" + canary)),
	} {
		if leak(text) != form {
			t.Errorf("%s: %q", form, leak(text))
		}
	}
	if leak(fmt.Sprintf("%#v", []byte(canary))) == "" || leak(hex.Dump([]byte(canary))) == "" {
		t.Error("dumps of bytes hide the canary")
	}
	if leak("[secret, 32 bytes]") != "" {
		t.Error("something is found where nothing is")
	}
}

// values are all that hold the canary, by what they are. Reflection takes no
// lock: the goroutines of the store are over.
func values(t *testing.T) (all map[string]any) {
	t.Helper()
	synctest.Test(t, func(bubble *testing.T) {
		all = build(bubble.Context(), t)
		synctest.Wait()
	})
	return all
}

func build(ctx context.Context, t *testing.T) map[string]any {
	t.Helper()
	response := tokencache.TokenResponse{
		AccessToken: canary, RefreshToken: canary, Scope: "User.Read", ExpiresIn: 3600, ClientID: "client", HomeAccountID: "ana.tenant", Sent: time.Now(),
		IDToken: "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"oid":"o","tid":"t"}`)) + "." + canary,
	}
	cache := tokencache.New()
	if err := cache.Put(response); err != nil {
		t.Fatal(err)
	}
	query := tokencache.Query{HomeAccountID: "ana.tenant"}
	access, _ := cache.AccessToken(query)
	refresh, _ := cache.RefreshToken(query)
	id, _ := cache.IDToken(query)
	if leak(access.Secret.Reveal()) == "" || leak(refresh.Secret.Reveal()) == "" || leak(id.Secret.Reveal()) == "" {
		t.Fatal("there is nothing to show")
	}
	data, err := cache.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	inMemory, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	inFiles, err := filesystem.New(t.TempDir(), filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("REDACTION_TOKEN", string(data))
	inVariables, err := env.New(env.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []core.TokenBackend{inMemory, inFiles} {
		if _, err := b.Save(ctx, "ana", core.Record{Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	record, err := inMemory.Load(ctx, "ana")
	if err != nil {
		t.Fatal(err)
	}
	key := crypto.KeyFromBytes([32]byte([]byte(canary)))
	keyring, err := crypto.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	python, err := fernet.New(base64.URLEncoding.EncodeToString([]byte(canary)[:32]))
	if err != nil {
		t.Fatal(err)
	}
	transition, err := crypto.NewTransition(keyring, python)
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := age.NewPassphrase(canary, age.PassphraseOptions{WorkFactor: 10})
	if err != nil {
		t.Fatal(err)
	}
	transit, err := vaulttransit.New("https://vault.example", "tokens", vaulttransit.Options{
		Token: func(context.Context) (string, error) { return canary, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	dataKeys, err := crypto.NewDataKeys(transit, crypto.DataKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(inMemory)
	source := store.TokenSource("ana", query, nil)
	if _, err := source.Token(ctx); err != nil {
		t.Fatal(err)
	}
	config := account.Config{ClientID: "client", Credential: account.Secret(canary, canary), Tenant: "t"}
	app, err := account.NewApp(store, config)
	if err != nil {
		t.Fatal(err)
	}
	flow, err := account.ParseFlow([]byte(`{"state":"s","code_verifier":"` + canary + `","nonce":"n","redirect_url":"https://app.example","authority":"a","client_id":"c","expires":"2100-01-01T00:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := flow.Marshal(); err != nil || leak(string(data)) == "" {
		t.Fatal("there is nothing to show in the flow")
	}
	return map[string]any{
		"Credential": config.Credential, "Config": config, "App": app, "Account": app.Account("ana.tenant"), "Account in memory": app.Account("ana.tenant").NotStoring(),
		"Flow": flow, "*Flow": &flow,
		"Secret": access.Secret, "AccessToken": access, "*AccessToken": &access, "AccessTokens": []tokencache.AccessToken{access},
		"map of AccessTokens": map[string]tokencache.AccessToken{"a": access}, "RefreshToken": refresh, "IDToken": id,
		"TokenResponse": response, "*TokenResponse": &response, "Cache": *cache, "*Cache": cache,
		"Record": record, "*Record": &record, "Data": record.Data,
		"*Store": store, "*TokenSource": source, "Rejected": core.Rejected(canary), "Transport": &bearer.Transport{Source: source},
		"memory": inMemory, "filesystem": inFiles, "env": inVariables, "Key": key, "*Key": &key, "*Keyring": keyring,
		"Fernet": python, "*Transition": transition, "age, a passphrase": phrase,
		"transit Key": transit, "*DataKeys": dataKeys,
	}
}

type exported struct{ V any }

// ways to make text of a value.
var ways = map[string]func(v any) string{
	"fmt": func(v any) string {
		return fmt.Sprintf("%v %+v %#v %s %q %x %X %d %T %10.3v", v, v, v, v, v, v, v, v, v, v)
	},
	"fmt, in a field": func(v any) string {
		return fmt.Sprintf("%v %+v %#v %x", exported{v}, exported{v}, exported{v}, exported{v})
	},
	"an error":      func(v any) string { return fmt.Errorf("can't use %v", v).Error() },
	"a panic":       func(v any) (text string) { defer func() { text = fmt.Sprint(recover()) }(); panic(v) },
	"encoding/json": func(v any) string { return encoded(json.Marshal(v)) + encoded(json.Marshal(exported{v})) },
	"encoding/xml":  func(v any) string { return encoded(xml.Marshal(v)) + encoded(xml.Marshal(exported{v})) },
	"encoding/gob": func(v any) string {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return b.String() + fmt.Sprint(err)
	},
	"log/slog, as text": func(v any) string {
		return logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }, v)
	},
	"log/slog, as JSON": func(v any) string {
		return logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }, v)
	},
	"text/template": func(v any) string {
		var b bytes.Buffer
		err := template.Must(template.New("").Parse("{{.}} {{printf `%+v` .}}")).Execute(&b, v)
		return b.String() + fmt.Sprint(err)
	},
	"html/template": func(v any) string {
		var b bytes.Buffer
		err := htmltemplate.Must(htmltemplate.New("").Parse("{{.}}<script>x={{.}}</script>")).Execute(&b, v)
		return b.String() + fmt.Sprint(err)
	},
	"go-spew": func(v any) string { return spew.Sdump(v, exported{v}) + spew.Sprintf("%+v %#v", v, v) },
	"testify's failure text": func(v any) string {
		var f failure
		assert.Equal(&f, nil, v)
		assert.Nil(&f, v)
		assert.Contains(&f, v, 1)
		return f.text
	},
	"go-cmp": func(v any) string { return cmp.Diff(v, nil) + cmp.Diff(nil, v) },
}

func encoded(data []byte, err error) string { return string(data) + fmt.Sprint(err) }

func logged(handler func(*bytes.Buffer) slog.Handler, v any) string {
	var b bytes.Buffer
	slog.New(handler(&b)).With("w", v).WithGroup("g").Info("m", "v", v, "in", exported{v}, slog.Group("h", "v", v))
	return b.String()
}

type failure struct{ text string }

func (f *failure) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }

func TestNothingShowsAToken(t *testing.T) {
	for what, v := range values(t) {
		for how, way := range ways {
			if form := leak(shielded(way, v)); form != "" {
				t.Errorf("%s shows a token by %s, as %s", what, how, form)
			}
		}
	}
}

// shielded is the text of a way that may panic: what it panics with is printed, too.
func shielded(way func(any) string, v any) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprint(p)
		}
	}()
	return way(v)
}

// Where two of a kind differ, what compares them shows how.
func TestNoComparisonShowsAToken(t *testing.T) {
	all := values(t)
	access, response := all["AccessToken"].(tokencache.AccessToken), all["TokenResponse"].(tokencache.TokenResponse)
	otherAccess, otherResponse := access, response
	otherAccess.Secret += "2"
	otherResponse.RefreshToken += "2"
	record := all["Record"].(core.Record)
	otherRecord := record
	otherRecord.Data = append([]byte("{}"), record.Data...)
	for what, text := range map[string]string{
		"go-cmp of Records":        cmp.Diff(record, otherRecord),
		"go-cmp of AccessTokens":   cmp.Diff(access, otherAccess),
		"go-cmp of pointers":       cmp.Diff(&access, &otherAccess),
		"go-cmp of TokenResponses": cmp.Diff(response, otherResponse),
		"go-cmp of Secrets":        cmp.Diff(access.Secret, otherAccess.Secret),
	} {
		if text == "" || leak(text) != "" {
			t.Errorf("%s: %s", what, text)
		}
	}
	if cmp.Diff(access, access) != "" || cmp.Diff(response, response) != "" {
		t.Error("a token differs from itself")
	}
}

// A program that reads memory by reflection, and asks no type for a method, sees exported
// strings and bytes, as tokencache.Secret's comment says. The program sees nothing of our
// unexported fields.
func TestReflectionAloneShowsNoTokenThatIsKept(t *testing.T) {
	type hidden struct{ v any }
	all := values(t)
	blind := spew.ConfigState{DisableMethods: true, DisablePointerMethods: true, Indent: " "}
	for _, what := range []string{"Cache", "*Cache", "*Store", "*TokenSource", "Transport", "Key", "*Key", "*Keyring", "Fernet", "*Transition", "filesystem", "env"} {
		for how, text := range map[string]string{
			"go-spew without methods": blind.Sdump(all[what]),
			"fmt in a hidden field":   fmt.Sprintf("%v %+v %#v", hidden{all[what]}, hidden{all[what]}, hidden{all[what]}),
		} {
			if form := leak(text); form != "" {
				t.Errorf("%s shows a token by %s, as %s", what, how, form)
			}
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", hidden{all["Rejected"]}, hidden{all["Rejected"]}, hidden{all["Rejected"]}); leak(text) != "" {
		t.Errorf("Rejected shows a token by fmt in a hidden field: %s", text)
	}
}

func TestNoPanicOfARefreshFunctionShowsAToken(t *testing.T) {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend)
	err = store.Update(t.Context(), "ana", func(c *tokencache.Cache) error {
		return c.Put(tokencache.TokenResponse{AccessToken: canary, RefreshToken: canary, ExpiresIn: -5, Scope: "a", ClientID: "client", HomeAccountID: "ana.tenant"})
	})
	if err != nil {
		t.Fatal(err)
	}
	type hidden struct{ token tokencache.RefreshToken }
	for what, with := range map[string]func(c *tokencache.Cache, token tokencache.RefreshToken) any{
		"the cache":             func(c *tokencache.Cache, _ tokencache.RefreshToken) any { return c },
		"a token":               func(_ *tokencache.Cache, token tokencache.RefreshToken) any { return token },
		"a pointer to it":       func(_ *tokencache.Cache, token tokencache.RefreshToken) any { return &token },
		"a struct that keeps a": func(_ *tokencache.Cache, token tokencache.RefreshToken) any { return hidden{token} },
		"an error about it":     func(_ *tokencache.Cache, token tokencache.RefreshToken) any { return fmt.Errorf("bad %v", token) },
	} {
		_, err := store.TokenSource("ana", tokencache.Query{HomeAccountID: "ana.tenant"}, func(_ context.Context, c *tokencache.Cache, r core.Refresh) error {
			token, ok := c.RefreshToken(r.Query)
			if !ok || leak(token.Secret.Reveal()) == "" {
				return errors.New("there is no token to show")
			}
			panic(with(c, token))
		}).Refresh(t.Context())
		text := fmt.Sprintf("%v %+v %#v", err, err, err)
		if leak(text) != "" || !strings.Contains(text, "panicked") || !strings.Contains(text, "redaction_test.go") {
			t.Errorf("a panic with %s: %s", what, text)
		}
	}
}

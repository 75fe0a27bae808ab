package tokencache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

const canary = "canary-4711"

// secrets are all values that hold a secret, by what they are.
func secrets(t testing.TB) map[string]any {
	t.Helper()
	r := answer("ana@contoso.com", anaID, canary, noon)
	r.IDToken = idToken(`{"oid":"o","tid":"t"}`)
	r.IDToken += canary
	r.ClientInfo = clientInfo("u", "t")
	c := parse(t, fmt.Sprintf(`{"X":%q}`, canary))
	put(t, c, r)
	q := tokencache.Query{}
	at, _ := c.AccessToken(q)
	rt, _ := c.RefreshToken(q)
	id, ok := c.IDToken(q)
	if !ok || !strings.Contains(at.Secret.Reveal()+rt.Secret.Reveal()+id.Secret.Reveal(), canary) {
		t.Fatal("there are no secrets to hide")
	}
	type exported struct {
		Secret   tokencache.Secret
		Pointer  *tokencache.Secret
		Token    tokencache.AccessToken
		Response tokencache.TokenResponse
		Cache    *tokencache.Cache
		Copy     tokencache.Cache
	}
	type hidden struct {
		cache *tokencache.Cache
		n     int
	}
	type hiddenCopy struct{ cache tokencache.Cache }
	type nested struct{ hidden *hidden }
	e := exported{at.Secret, &at.Secret, at, r, c, *c}
	h := hidden{c, 1}
	return map[string]any{
		"Secret": at.Secret, "*Secret": &at.Secret, "Secrets": []tokencache.Secret{at.Secret},
		"array": [1]tokencache.Secret{at.Secret}, "map of Secrets": map[string]tokencache.Secret{"k": at.Secret},
		"AccessToken": at, "*AccessToken": &at, "AccessTokens": []tokencache.AccessToken{at},
		"RefreshToken": rt, "*RefreshToken": &rt, "IDToken": id, "*IDToken": &id,
		"TokenResponse": r, "*TokenResponse": &r, "map of TokenResponses": map[string]tokencache.TokenResponse{"k": r},
		"Cache": *c, "*Cache": c, "Caches": []*tokencache.Cache{c}, "map of Caches": map[string]*tokencache.Cache{"k": c},
		"exported fields": e, "pointer to exported fields": &e, "any": []any{at, rt, id, r, c, at.Secret},
		"Cache in a hidden field": h, "pointer to it": &h, "several": []hidden{h}, "of a field": nested{&h},
		"copy in a hidden field": hiddenCopy{*c}, "pointer to a copy": &hiddenCopy{*c},
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	for name, v := range secrets(t) {
		for verb := range strings.SplitSeq("v +v #v s +s #s q +q #q x X #x % x d c U o b t e g T 20v -20s .3s z", " ") {
			if verb == "x" {
				verb = " x"
			}
			if got := fmt.Sprintf("%"+verb, v); leaks(got) {
				t.Errorf("%%%s of %s: %s", verb, name, got)
			}
		}
		if got := fmt.Sprint(v) + fmt.Sprintln(v); leaks(got) {
			t.Errorf("Sprint of %s: %s", name, got)
		}
		if got := fmt.Errorf("can't use %v: %w", v, errors.New("why")).Error(); leaks(got) {
			t.Errorf("error with %s: %s", name, got)
		}
	}
}

// leaks looks for the canary as text and in hexadecimal digits.
func leaks(s string) bool {
	squeezed := strings.ToLower(strings.NewReplacer(" ", "", "0x", "", ",", "").Replace(s))
	return strings.Contains(s, canary) || strings.Contains(squeezed, fmt.Sprintf("%x", canary))
}

func TestNoLogHoldsASecret(t *testing.T) {
	for name, v := range secrets(t) {
		var b bytes.Buffer
		o := &slog.HandlerOptions{Level: slog.LevelDebug}
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, o), slog.NewJSONHandler(&b, o)} {
			l := slog.New(h)
			l.Info("m", "v", v)
			l.With("w", v).WithGroup("g").Info("m", slog.Any("v", v), slog.Group("in", slog.Any("v", v)))
		}
		if leaks(b.String()) {
			t.Errorf("log of %s: %s", name, b.String())
		}
	}
}

func TestNoJSONHoldsASecret(t *testing.T) {
	for name, v := range secrets(t) {
		data, err := json.Marshal(map[string]any{"v": v})
		if err != nil || leaks(string(data)) {
			t.Errorf("JSON of %s: %s, %v", name, data, err)
		}
	}
}

func TestNoPanicPrintsASecret(t *testing.T) {
	if name := os.Getenv("TOKENCACHE_PANIC"); name != "" {
		panic(secrets(t)[name])
	}
	for _, name := range []string{"Secret", "*Secret", "AccessToken", "*TokenResponse", "TokenResponse", "*Cache", "exported fields"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoPanicPrintsASecret$")
		cmd.Env = append(os.Environ(), "TOKENCACHE_PANIC="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panic: ")) || leaks(string(out)) {
			t.Errorf("panic with %s: %v\n%s", name, err, out)
		}
	}
}

func TestThePrintedFormTellsWhatKindOfValueItIs(t *testing.T) {
	s := tokencache.Secret(canary)
	if s.Reveal() != canary || fmt.Sprintf("%q %d %v", s, s, &s) != strings.Repeat("[secret, 11 bytes] ", 2)+"[secret, 11 bytes]" {
		t.Errorf("a secret is printed as %q %v", s, &s)
	}
	if got := fmt.Sprint(signedIn(t)); got != "[token cache, 2 users]" {
		t.Errorf("a cache is printed as %s", got)
	}
	if got := fmt.Sprint(answer("ana@contoso.com", anaID, "x", noon)); !strings.Contains(got, "Scope:User.Read Mail.Read") || !strings.Contains(got, "RefreshToken:[secret, 4 bytes]") {
		t.Errorf("a response is printed as %s", got)
	}
}

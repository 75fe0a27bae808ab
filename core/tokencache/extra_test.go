package tokencache_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestTheExtraStaysWithItsAccessToken(t *testing.T) {
	q := tokencache.Query{HomeAccountID: "u.t"}
	r := tokencache.TokenResponse{AccessToken: "first", Extra: `{"team":"é","n":1}`, ExpiresIn: 60, ClientID: "app", HomeAccountID: "u.t", Sent: time.Unix(1000, 0)}
	c := tokencache.New()
	put(t, c, r)
	for name, c := range map[string]*tokencache.Cache{"put": c, "parsed": parse(t, marshal(t, c)), "merged": tokencache.Merge(nil, c, nil)} {
		if at, ok := c.AccessToken(q); !ok || at.Extra.Reveal() != r.Extra {
			t.Errorf("%s: the extra is %q", name, at.Extra.Reveal())
		}
	}
	r.AccessToken, r.Extra = "second", ""
	put(t, c, r)
	if at, _ := c.AccessToken(q); at.Secret != "second" || at.Extra != "" {
		t.Errorf("the second token has the extra %q", at.Extra.Reveal())
	}
	r.Extra = "\xff"
	if err := c.Put(r); err == nil {
		t.Error("an extra that is not UTF-8 was taken")
	}
}

func TestTheExtraIsNotPrinted(t *testing.T) {
	r := tokencache.TokenResponse{AccessToken: "first", Extra: "hush", ExpiresIn: 60, ClientID: "app", HomeAccountID: "u.t"}
	c := tokencache.New()
	put(t, c, r)
	at, _ := c.AccessToken(tokencache.Query{})
	if text := fmt.Sprintf("%+v %#v %+v %#v %+v", r, r, at, at, c); strings.Contains(text, "hush") {
		t.Errorf("printed: %s", text)
	}
}

func TestAUserWithoutAnIDTokenCanHaveAName(t *testing.T) {
	c := tokencache.New()
	r := tokencache.TokenResponse{AccessToken: "at", Username: "Ana@contoso.com", ExpiresIn: 60, ClientID: "app", HomeAccountID: "u.t"}
	put(t, c, r)
	wantAccess(t, c, tokencache.Query{Username: "ana@contoso.com"}, "at")
	r.Username = ""
	put(t, c, r)
	wantAccess(t, c, tokencache.Query{Username: "ana@contoso.com"}, "at")
}

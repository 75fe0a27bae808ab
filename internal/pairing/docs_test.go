package pairing

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/pairing/page"
	xoauth2 "golang.org/x/oauth2"
)

func TestEachGoBlockOfThePageIsAFileThatIsCompiled(t *testing.T) {
	text, err := os.ReadFile("../../docs/pairing.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("page/*.go")
	if err != nil {
		t.Fatal(err)
	}
	compiled := make(map[string]string) // the code, and its file
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, rest, ok := strings.Cut(string(code), "package page\n\n"); ok {
			compiled[strings.TrimSpace(rest)] = file
		}
	}
	for _, b := range strings.Split(string(text), "```go\n")[1:] {
		b, _, _ = strings.Cut(b, "```")
		b = strings.TrimSpace(b)
		if compiled[b] == "" {
			t.Errorf("no file of page has this block:\n%s", b)
		}
		delete(compiled, b)
	}
	for _, file := range slices.Sorted(maps.Values(compiled)) {
		t.Errorf("the page doesn't have %s", file)
	}
}

const clientID = "11111111-2222-3333-4444-555555555555"

// The functions of the page lead to the store: nobody has signed in there.
func TestThePagesClientsSayThatNobodyHasSignedIn(t *testing.T) {
	store := newStore(t)
	ana, err := account.New(store, "ana", account.Config{ClientID: clientID})
	if err != nil {
		t.Fatal(err)
	}
	source := ana.TokenSource("User.Read")
	const me = "https://graph.microsoft.com/v1.0/me"
	get := func(client *http.Client, err error) error {
		if err != nil {
			return err
		}
		resp, err := client.Get(me)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	token := func(source *core.TokenSource, err error) error {
		if err == nil {
			_, err = source.Token(t.Context())
		}
		return err
	}
	for what, call := range map[string]func() error{
		"net/http": func() error { return get(page.HTTPClient(store, clientID)) },
		"resty": func() error {
			client := page.Resty(source)
			defer client.Close()
			_, err := client.R().Get("/me")
			return err
		},
		"msgraph-sdk-go": func() error {
			adapter, err := page.GraphAdapter(ana)
			if err == nil {
				_, _, err = through(adapter)(t.Context(), http.MethodGet, "/me", nil)
			}
			return err
		},
		"msgraph-sdk-go over the transport": func() error { return get(page.GraphHTTPClient(source), nil) },
		"Azure's SDKs": func() error {
			client, err := page.AzureClient(ana)
			if err != nil {
				return err
			}
			req, err := runtime.NewRequest(t.Context(), http.MethodGet, me)
			if err != nil {
				return err
			}
			_, err = client.Pipeline().Do(req)
			if required := new(azcore.AuthenticationRequiredError); !errors.As(err, &required) {
				t.Errorf("Azure's SDKs: %v", err)
			}
			return err
		},
		"golang.org/x/oauth2": func() error {
			return get(page.OAuth2(t.Context(), store, &xoauth2.Config{ClientID: clientID, Endpoint: xoauth2.Endpoint{TokenURL: "https://idp.example.com/token"}}))
		},
		"MSAL Go refreshes": func() error { return token(page.MSALRefresh(store, clientID)) },
	} {
		if err := call(); !errors.Is(err, core.ErrReauthRequired) {
			t.Errorf("%s: %v", what, err)
		}
	}
	client, err := page.MSAL(store, clientID)
	if err != nil {
		t.Fatal(err)
	}
	if accounts, err := client.Accounts(t.Context()); len(accounts) != 0 || err != nil {
		t.Errorf("MSAL Go: %v, %v", accounts, err)
	}
}

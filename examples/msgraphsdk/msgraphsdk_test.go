package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	graph "github.com/microsoftgraph/msgraph-sdk-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
)

func signIn(t *testing.T, idp *entra.Server) *account.Account {
	t.Helper()
	backend, err := filesystem.New(t.TempDir(), filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	user, err := account.New(core.NewStore(backend), "me", account.Config{
		ClientID: entra.PublicClient, HTTPClient: idp.HTTPClient(), Scopes: []string{"User.Read", "Mail.Read", "Files.ReadWrite"},
	})
	if err != nil {
		t.Fatal(err)
	}
	browser := make(chan error, 1)
	open := func(address string) error {
		go func() { browser <- idp.BrowseAs(entra.Ana)(address) }()
		return nil
	}
	if err := user.Authenticate(t.Context(), account.Loopback(open), account.AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-browser; err != nil {
		t.Fatal(err)
	}
	return user
}

const challenge = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`

func TestTheProgramWorksThroughA401AndAClaimsChallenge(t *testing.T) {
	idp := entra.Start(t, entra.Options{Strict: true})
	user := signIn(t, idp)
	client, err := newClient(user.TokenSource(), idp.HTTPClient().Transport)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := client.me(t.Context()); name != entra.Ana || err != nil {
		t.Fatal(name, err)
	}
	for n := range 25 {
		draft := models.NewMessage()
		subject := strconv.Itoa(n)
		draft.SetSubject(&subject)
		if _, err := client.Me().Messages().Post(t.Context(), draft, nil); err != nil {
			t.Fatal(err)
		}
	}
	var subjects []string
	if err := client.messages(t.Context(), func(subject string) {
		if len(subjects) == 0 {
			idp.RevokeAccess(entra.Ana) // before the second page
		}
		subjects = append(subjects, subject)
	}); err != nil {
		t.Fatal(err)
	}
	if len(subjects) != 25 || subjects[24] != "24" {
		t.Errorf("the messages are %q", subjects)
	}

	if err := idp.Graph().Demand(challenge); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 512<<10) // 8 MiB, in three parts
	name := filepath.Join(t.TempDir(), "large.bin")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.upload(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if stored, _ := idp.Graph().File("large.bin"); !bytes.Equal(stored, content) {
		t.Errorf("%d bytes are stored of %d", len(stored), len(content))
	}
	if n := idp.Grants().RefreshesSucceeded; n != 2 {
		t.Errorf("the provider was asked for %d tokens, want 2", n)
	}
}

// As Microsoft's documentation has it.
func TestTheSDKTakesACredential(t *testing.T) {
	idp := entra.Start(t, entra.Options{Strict: true})
	user := signIn(t, idp)
	usual := http.DefaultTransport
	http.DefaultTransport = idp.HTTPClient().Transport // the SDK makes its own of it
	t.Cleanup(func() { http.DefaultTransport = usual })
	client, err := graph.NewGraphServiceClientWithCredentials(azcore.New(user, azcore.Options{}), []string{"User.Read"})
	if err != nil {
		t.Fatal(err)
	}
	for _, demand := range []string{"", challenge} {
		if err := idp.Graph().Demand(demand); err != nil {
			t.Fatal(err)
		}
		me, err := client.Me().Get(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if name := *me.GetUserPrincipalName(); name != entra.Ana {
			t.Errorf("signed in is %s", name)
		}
	}
}

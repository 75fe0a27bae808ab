package main

import (
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/machine"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

func TestMain(m *testing.M) {
	machine.Become(main)
	code := m.Run()
	chromium.End()
	os.Exit(code)
}

const (
	ana = entra.Ana
	bo  = "bo@contoso.com"
)

// atSignIn is a user's entry on the imitation's sign-in page.
func atSignIn(user string) string { return `//a[contains(., "` + user + `")]` }

const decline = `//a[. = "Decline"]`

func startEntra(t *testing.T) *entra.Server {
	t.Helper()
	return entra.Start(t, entra.Options{
		Strict: true,
		Users:  []entra.User{{Username: ana, Name: "Ana Alves"}, {Username: bo, Name: "Bo Berg"}},
		Clients: []entra.Client{{
			ID: entra.ConfidentialClient, Secret: entra.ConfidentialSecret,
			RedirectURIs: []string{"http://localhost:8080/callback"}, // the port of a loopback address isn't compared
		}},
	})
}

// startApp starts the program, and returns its address.
func startApp(t *testing.T, idp *entra.Server, flags ...string) (address string, program *machine.Program) {
	t.Helper()
	port := strconv.Itoa(testkit.FreePort(t))
	address = "http://localhost:" + port
	t.Setenv("CLIENT_SECRET", entra.ConfidentialSecret)
	program = machine.Start(t, idp, append([]string{"-client-id", entra.ConfidentialClient, "-listen", net.JoinHostPort("localhost", port), "-url", address}, flags...)...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the program has written:\n%s", program.Log())
		}
	})
	testkit.Retry(t, "the web application answers", func() error {
		answer, err := http.Get(address)
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
	return address, program
}

func signIn(b *tab, app, user string) {
	b.t.Helper()
	b.visit(app)
	b.click("#sign-in")
	b.click(atSignIn(user))
	b.shows("#user", user)
}

func TestTwoUsersAreSignedInAtOnce(t *testing.T) {
	for where, flags := range map[string]func() []string{
		"in memory": func() []string { return nil },
		"in Redis":  func() []string { return []string{"-redis", redistest.Start(t).Addr} },
	} {
		t.Run(where, func(t *testing.T) {
			idp := startEntra(t)
			app, program := startApp(t, idp, flags()...)
			one, other := newSession(t, idp), newSession(t, idp)

			one.visit(app)
			one.picture("welcome")
			signIn(one, app, ana)
			one.shows("#scopes", "User.Read")
			one.shows("#until", "refreshed")
			one.picture("signed-in")
			signIn(other, app, bo)

			one.visit(app)
			one.shows("#user", ana)
			one.click("#me")
			one.shows("#name", "Ana Alves")
			one.picture("graph")
			other.click("#me")
			other.shows("#name", "Bo Berg")

			one.click("#home")
			one.click("#sign-out")
			one.shows("h1", "Nobody is signed in")
			other.visit(app)
			other.shows("#user", bo)
			if n := idp.Grants().ByType[entra.Refresh].Received; n != 0 {
				t.Errorf("%d tokens were refreshed, and all were valid", n)
			}

			program.Signal(syscall.SIGTERM)
			program.Finish()
		})
	}
}

func TestASessionInRedisOutlivesTheProgram(t *testing.T) {
	server := redistest.Start(t)
	idp := startEntra(t)
	app, program := startApp(t, idp, "-redis", server.Addr)
	b := newSession(t, idp)
	signIn(b, app, ana)
	program.Signal(syscall.SIGTERM)
	program.Finish()

	app, _ = startApp(t, idp, "-redis", server.Addr) // cookies know no ports
	b.visit(app)
	b.shows("#user", ana)
	b.click("#me")
	b.shows("#name", "Ana Alves")
}

func TestARefusedTokenIsReplacedAndARevokedUserSignsInAgain(t *testing.T) {
	idp := startEntra(t)
	app, _ := startApp(t, idp)
	b := newSession(t, idp)
	signIn(b, app, ana)
	idp.RevokeAccess(ana) // Graph refuses the token, as it does an expired one
	b.click("#me")
	b.shows("#name", "Ana Alves")
	if n := idp.Grants().RefreshesSucceeded; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}

	idp.Revoke(ana) // as an administrator does
	b.visit(app + "/me")
	b.shows("#failed", "no longer good")
	b.click("#sign-in")
	b.click(atSignIn(ana))
	b.shows("#user", ana)
}

func TestARedirectThatComesTwiceOrIsForgedChangesNothing(t *testing.T) {
	idp := startEntra(t)
	app, _ := startApp(t, idp)
	b := newSession(t, idp)
	signIn(b, app, ana)
	callback := b.last("/callback?")

	// Bo has signed in at the provider, and the redirect is shown to Ana's browser.
	stranger := newSession(t, idp)
	stranger.visit(app)
	stranger.click("#sign-in")
	planted, err := idp.SignInAs(bo, stranger.last("/authorize?"))
	if err != nil {
		t.Fatal(err)
	}

	for _, row := range []struct{ what, address string }{
		{"the callback is loaded once more", callback},
		{"the state is forged", app + "/callback?code=stolen&state=forged"},
		{"the state is missing", app + "/callback?code=stolen"},
		{"the redirect is another browser's", planted},
	} {
		b.visit(row.address)
		b.shows("#failed", "This sign-in is over, or was not begun in this browser.")
		b.click("#home")
		b.shows("#user", ana)
		if t.Failed() {
			t.Fatal(row.what)
		}
	}
	if n := idp.Grants().ByType[entra.AuthorizationCode].Received; n != 1 {
		t.Errorf("%d codes were sent, want Ana's", n)
	}
	stranger.visit(planted) // where it belongs
	stranger.shows("#user", bo)
}

func TestAUserWhoDeclinesIsNotSignedIn(t *testing.T) {
	idp := startEntra(t)
	app, _ := startApp(t, idp)
	b := newSession(t, idp)
	b.visit(app)
	b.click("#sign-in")
	b.click(decline)
	b.shows("#failed", "Microsoft has refused: the user has declined")
	b.picture("declined")
	b.click("#home")
	b.shows("h1", "Nobody is signed in")
}

func TestAUserOfAnotherTenantReadsWhatToDo(t *testing.T) {
	idp := startEntra(t)
	if err := idp.AddUser(entra.User{Username: "cy@fabrikam.com"}); err != nil {
		t.Fatal(err)
	}
	app, _ := startApp(t, idp, "-tenant", "contoso.com")
	b := newSession(t, idp)
	b.visit(app)
	b.click("#sign-in")
	b.click(atSignIn("cy@fabrikam.com"))
	b.shows("#failed", "invite them as a guest")
}

func TestSignInsAreUnderWayInTwoTabs(t *testing.T) {
	idp := startEntra(t)
	app, _ := startApp(t, idp)
	first := newSession(t, idp)
	first.visit(app)
	second := first.another()
	for _, b := range []*tab{first, second} {
		b.visit(app + "/sign-in")
	}
	first.click(atSignIn(ana))
	first.shows("#user", ana)
	second.click(atSignIn(bo))
	second.shows("#user", bo)
	first.visit(app)
	first.shows("#user", bo) // one session, one user: the later
}

func TestAPageOfAnotherSiteSignsNobodyOut(t *testing.T) {
	idp := startEntra(t)
	app, _ := startApp(t, idp)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, app+"/sign-out", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("it is answered %s: %v", answer.Status, err)
	}
}

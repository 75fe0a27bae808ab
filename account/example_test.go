package account_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
)

// A web application, where each user has a record of their own. session is what a
// framework keeps for the user who sends a request.
func ExampleApp() {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := account.NewApp(core.NewStore(backend), account.Config{
		ClientID:    "11111111-2222-3333-4444-555555555555",
		Credential:  account.Secret("the secret"),
		RedirectURL: "https://app.example/callback",
		Scopes:      []string{"User.Read"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	type session struct{ flow, user string }
	sessionOf := func(*http.Request) *session { return &session{} }

	http.HandleFunc("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		address, flow, err := app.AuthURL(r.Context(), account.AuthOptions{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		data, err := flow.Marshal()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		sessionOf(r).flow = string(data)
		http.Redirect(w, r, address, http.StatusFound)
	})
	http.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		s := sessionOf(r)
		flow, err := account.ParseFlow([]byte(s.flow))
		s.flow = "" // taken out first: a redirect that comes again finds none
		if err != nil {
			http.Error(w, "Nobody is signing in here.", http.StatusBadRequest)
			return
		}
		user, err := app.SignIn(r.Context(), flow, r.URL.String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		s.user = user.User().HomeAccountID
		http.Redirect(w, r, "/", http.StatusFound)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		resp, err := app.Account(sessionOf(r).user).HTTPClient().Get("https://graph.microsoft.com/v1.0/me")
		if err != nil { // core.ErrReauthRequired: to /sign-in
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	})
}

// A user signs in at a console.
func Example() {
	ctx := context.Background()
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := account.New(core.NewStore(backend), "tokens", account.Config{
		ClientID: "11111111-2222-3333-4444-555555555555",
		Scopes:   []string{"User.Read"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	address, flow, err := a.AuthURL(ctx, account.AuthOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("Visit", address, "and paste the address where the browser ends:")
	redirect, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := a.SignIn(ctx, flow, redirect); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("Signed in as", a.User().Username)
}

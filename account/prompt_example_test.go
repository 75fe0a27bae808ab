package account_test

import (
	"context"
	"fmt"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// window is a Prompt of a program's own, which has a browser in a window of its own,
// and learns from it where the browser ends.
type window struct {
	visit func(address string) (redirect string, err error)
}

// SignIn leads the user through the sign-in.
func (w window) SignIn(ctx context.Context, t *account.Attempt) error {
	address, flow, err := t.AuthURL(ctx)
	if err != nil {
		return err
	}
	redirect, err := w.visit(address)
	if err != nil {
		return err
	}
	return t.SignIn(ctx, flow, redirect)
}

// Console, Loopback and DeviceCodePrompt are ready. Any other way to lead a user through
// a sign-in is a type with one method.
func ExamplePrompt() {
	idp, err := entra.New(entra.Options{DefaultUser: entra.Ana}) // an imitation of Microsoft Entra
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := account.NewApp(core.NewStore(backend), account.Config{
		ClientID: entra.PublicClient, Scopes: []string{"User.Read"}, HTTPClient: idp.HTTPClient(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := app.Authenticate(context.Background(), window{visit: idp.SignIn}, account.AuthOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.User().Username, "has signed in")
	// Output: ana@contoso.com has signed in
}

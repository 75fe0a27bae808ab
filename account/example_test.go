package account_test

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
)

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

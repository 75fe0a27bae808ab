package msal_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func Example() {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := core.NewStore(backend)

	client, err := msal.NewPublic("11111111-2222-3333-4444-555555555555",
		msal.WithAuthority("https://login.microsoftonline.com/common"))
	if err != nil {
		fmt.Println(err)
		return
	}
	source := client.TokenSource(store, "tokens", tokencache.Query{
		Username: "ana@contoso.com",
		Scopes:   []string{"User.Read"},
	})

	_, err = source.Token(context.Background())
	fmt.Println(errors.Is(err, core.ErrReauthRequired)) // nobody has signed in yet
	// Output: true
}

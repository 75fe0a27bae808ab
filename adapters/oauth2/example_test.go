package oauth2_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	xoauth2 "golang.org/x/oauth2"
)

func Example() {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	config := &xoauth2.Config{
		ClientID: "client.apps.googleusercontent.com",
		Endpoint: xoauth2.Endpoint{AuthURL: "https://accounts.google.com/o/oauth2/auth", TokenURL: "https://oauth2.googleapis.com/token"},
		Scopes:   []string{"https://www.googleapis.com/auth/drive.readonly"},
	}
	client, err := oauth2.New(core.NewStore(backend), "ana", config)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if _, err := client.TokenSource(ctx).Token(); errors.Is(err, core.ErrReauthRequired) {
		// The user is sent to config.AuthCodeURL, and comes back with a code:
		//	token, err := config.Exchange(ctx, code)
		token := &xoauth2.Token{AccessToken: "token", RefreshToken: "refresh"}
		if err := client.Put(ctx, token); err != nil {
			fmt.Println(err)
		}
	}
	token, err := client.TokenSource(ctx).Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

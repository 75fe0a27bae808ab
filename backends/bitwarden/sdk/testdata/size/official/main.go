// Command official keeps its tokens in Bitwarden by the official SDK.
package main

import (
	"context"
	"net/http"
	"os"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/bitwarden/sdk"
	"github.com/graphtoken/graphtoken/core"
)

func main() {
	secrets, err := sdk.Login(context.Background(), os.Getenv("BWS_ACCESS_TOKEN"), sdk.LoginOptions{})
	if err != nil {
		panic(err)
	}
	backend, err := bitwarden.New(secrets, bitwarden.Options{})
	if err != nil {
		panic(err)
	}
	cache, _, err := core.NewStore(backend).Load(context.Background(), "token")
	if err != nil {
		panic(err)
	}
	println(cache)
	res, err := http.Get("https://graph.microsoft.com/v1.0/me")
	if err == nil {
		println(res.Status)
	}
}

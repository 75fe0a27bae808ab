// Command devicecode signs in a user on a machine without a browser, such as a server, a
// television or a printer, and asks Microsoft Graph who that is:
//
//	go run . CLIENT_ID
//
// The user opens the page that the program names on any other device, and enters the
// code. Later runs take the token from a file, refreshed when it has to be.
//
// CLIENT_ID is the ID of an application that is registered at Microsoft Entra with
// "Allow public client flows" switched on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/account/scope"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: devicecode CLIENT_ID")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, clientID string) (err error) {
	directory, err := os.UserConfigDir()
	if err != nil {
		return err
	}
	backend, err := filesystem.New(filepath.Join(directory, "graphtoken-devicecode"), filesystem.Options{})
	if err != nil {
		return err
	}
	store := core.NewStore(backend)
	defer func() { err = errors.Join(err, store.Flush(context.WithoutCancel(ctx))) }()

	user, err := account.New(store, filesystem.DefaultKey, account.Config{ClientID: clientID, Scopes: scope.For("basic")})
	if err != nil {
		return err
	}
	name, err := whoAmI(ctx, user.HTTPClient())
	if errors.Is(err, core.ErrReauthRequired) { // nobody has signed in, or the sign-in is no longer good
		if err := user.Authenticate(ctx, account.DeviceCodePrompt(os.Stdout), account.AuthOptions{}); err != nil {
			return err
		}
		name, err = whoAmI(ctx, user.HTTPClient())
	}
	if err != nil {
		return err
	}
	fmt.Printf("Hello, %s!\n", name)
	return nil
}

// whoAmI asks Microsoft Graph for the name of the user whose token the client sends.
func whoAmI(ctx context.Context, graph *http.Client) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0/me", nil)
	if err != nil {
		return "", err
	}
	answer, err := graph.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized: // and a new token could not be had either
		return "", core.ErrReauthRequired
	default:
		return "", fmt.Errorf("the answer of Microsoft Graph is %s", answer.Status)
	}
	var me struct {
		DisplayName string `json:"displayName"`
	}
	err = json.NewDecoder(answer.Body).Decode(&me)
	return me.DisplayName, err
}

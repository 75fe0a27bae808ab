// Command quickstart asks Microsoft Graph who you are. The first run signs you in with the
// browser; every later run takes the token from an encrypted file, refreshed when it has to be.
//
//	go run . CLIENT_ID
//
// CLIENT_ID is the ID of an application that is registered at Microsoft Entra, with the redirect
// URI http://localhost of the platform "Mobile and desktop applications".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: quickstart CLIENT_ID")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, clientID string) error {
	config, err := os.UserConfigDir()
	if err != nil {
		return err
	}
	directory := filepath.Join(config, "graphtoken-quickstart")
	keyring, err := openKeyring(directory)
	if err != nil {
		return err
	}
	backend, err := filesystem.New(filepath.Join(directory, "tokens"), filesystem.Options{})
	if err != nil {
		return err
	}
	store := core.NewStore(backend, core.WithCryptography(keyring))
	defer store.Flush(context.WithoutCancel(ctx)) // waits for refreshes in the background

	user, err := account.New(store, "me", account.Config{ClientID: clientID, Scopes: []string{"User.Read"}})
	if err != nil {
		return err
	}
	signedIn, err := user.IsAuthenticated(ctx)
	if err != nil {
		return err
	}
	if !signedIn {
		show := func(address string) error { _, err := fmt.Println("Sign in at", address); return err }
		if err := user.Authenticate(ctx, account.Loopback(show), account.AuthOptions{}); err != nil {
			return err
		}
	}

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0/me", nil)
	if err != nil {
		return err
	}
	answer, err := user.HTTPClient().Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

// openKeyring reads the key that encrypts the tokens. The first run makes one. On a server the key
// comes from a secret manager instead: crypto.KeysFromEnv reads it from a variable.
func openKeyring(directory string) (*crypto.Keyring, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(directory, "key")
	keys, err := crypto.ReadKeyFile(name, crypto.KeyFileOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		var key crypto.Key
		key, err = crypto.CreateKeyFile(name)
		keys = []crypto.Key{key}
	}
	if err != nil {
		return nil, err
	}
	return crypto.NewKeyring(keys[0], keys[1:]...)
}

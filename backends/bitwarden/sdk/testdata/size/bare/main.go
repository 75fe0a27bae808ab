// Command bare calls the official SDK, and does nothing else.
package main

// #cgo linux LDFLAGS: -Wl,--no-as-needed -lm -Wl,--as-needed
import "C"

import (
	"os"

	sdk "github.com/bitwarden/sdk-go"
)

func main() {
	client, err := sdk.NewBitwardenClient(nil, nil)
	if err != nil {
		panic(err)
	}
	if err := client.AccessTokenLogin(os.Getenv("BWS_ACCESS_TOKEN"), nil); err != nil {
		panic(err)
	}
	secret, err := client.Secrets().Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	if _, err := client.Secrets().Update(secret.ID, secret.Key, os.Args[2], secret.Note, secret.OrganizationID, []string{*secret.ProjectID}); err != nil {
		panic(err)
	}
}

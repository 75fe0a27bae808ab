// Login lists the secrets of a machine account with the client in pure Go. It is
// what is built to see how large that makes a program.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
)

func main() {
	ctx := context.Background()
	secrets, err := bitwarden.Login(ctx, os.Getenv("BWS_ACCESS_TOKEN"), bitwarden.LoginOptions{
		APIURL: os.Getenv("API_URL"), IdentityURL: os.Getenv("IDENTITY_URL"), StateFile: os.Getenv("STATE_FILE"),
	})
	if err != nil {
		log.Fatal(err)
	}
	backend, err := bitwarden.New(secrets, bitwarden.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for key, err := range backend.Keys(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(key)
	}
}

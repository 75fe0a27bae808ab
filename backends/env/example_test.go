package env_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/graphtoken/graphtoken/backends/env"
)

// The backend reads python-o365's variable in place.
func Example() {
	os.Setenv("O365TOKEN", `{"AccessToken":{}}`)
	defer os.Unsetenv("O365TOKEN")

	backend, err := env.New(env.Options{ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := backend.Load(context.Background(), env.DefaultKey)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(rec.Data))
	err = backend.Delete(context.Background(), env.DefaultKey)
	fmt.Println(err)
	// Output:
	// {"AccessToken":{}}
	// env: delete "O365TOKEN": read-only
}

package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	gcp "cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
)

// Two workers know the same version; the one who comes second is told. (It isn't
// run, since it needs a project, or FIRESTORE_EMULATOR_HOST.)
func Example() {
	ctx := context.Background()
	client, err := gcp.NewClientWithDatabase(ctx, "my-project", "tokens-eu") // or NewClient, for the default database
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	backend, err := firestore.New(client, "tokens", firestore.Options{})
	if err != nil {
		log.Fatal(err)
	}

	first, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{}`), Version: core.Absent})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{"AccessToken":{}}`), Version: first}); err != nil {
		log.Fatal(err)
	}
	_, err = backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{"RefreshToken":{}}`), Version: first})
	fmt.Println(errors.Is(err, core.ErrConflict)) // true
}

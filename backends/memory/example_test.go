package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
)

// Two writers know the same version; the one who comes second is told.
func Example() {
	ctx := context.Background()
	backend, err := memory.New(memory.Options{})
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
	fmt.Println(errors.Is(err, core.ErrConflict))
	fmt.Println(err)
	// Output:
	// true
	// memory: save "ana@contoso.com": version conflict
}

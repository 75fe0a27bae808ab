package stores_test

import (
	"context"
	"fmt"
	"log"

	"github.com/graphtoken/graphtoken/stores"
)

func ExampleOpen() {
	at, err := stores.Open(context.Background(), "redis://ana:secret@localhost:6379/0#ana@contoso.com", stores.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer at.Close()
	fmt.Println(at.Kind, at, at.Key)
	// Output:
	// redis redis://ana@localhost:6379/0 ana@contoso.com
}

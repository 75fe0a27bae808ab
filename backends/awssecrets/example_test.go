package awssecrets_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

// Two workers know the same version; the one who comes second is told.
func Example() {
	server, stop := secretstest.New(secretstest.Options{}) // the service itself needs neither an endpoint nor these credentials
	defer stop()
	client := secretsmanager.New(secretsmanager.Options{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String(server.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
	backend, err := awssecrets.New(client, awssecrets.Options{Prefix: "tokens/"})
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
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
	fmt.Println(server.Secrets())
	// Output:
	// true
	// awssecrets: save "ana@contoso.com": version conflict
	// [tokens/ana=40contoso.com]
}

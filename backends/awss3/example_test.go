package awss3_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
)

// Two workers know the same version; the one who comes second is told.
func Example() {
	ctx := context.Background()
	store := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true)).Server())
	defer store.Close()
	// Against Amazon: s3.NewFromConfig(cfg), with config.LoadDefaultConfig.
	client := s3.New(s3.Options{
		BaseEndpoint: &store.URL,
		UsePathStyle: true,
		Region:       "us-east-1",
		Credentials:  aws.AnonymousCredentials{},
	})
	backend, err := awss3.New(client, "contoso-tokens", awss3.Options{Prefix: "graph/"})
	if err != nil {
		log.Fatal(err)
	}
	if err := backend.Ping(ctx); err != nil {
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
	// awss3: save "ana@contoso.com": version conflict
}

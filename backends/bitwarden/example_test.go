package bitwarden_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// A record in a project, by its name.
func Example() {
	server := bitwardentest.New(bitwardentest.Options{}) // stands for Bitwarden's cloud
	options := inProcess(server)

	ctx := context.Background()
	secrets, err := bitwarden.Login(ctx, server.AccessToken(), options)
	if err != nil {
		log.Fatal(err)
	}
	backend, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: server.Project(), Prefix: "tokens/"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{}`), Version: core.Absent}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Secrets()[0].Key)
	_, err = backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{}`), Version: core.Absent})
	fmt.Println(err)
	// Output:
	// tokens/ana%40contoso.com
	// bitwarden: save "ana@contoso.com": version conflict
}

// Several processes share tokens in Bitwarden, and agree in another store on
// which of them refreshes. Here that is memory, so that the example runs; what
// several machines reach is a backend of Redis, SQL or S3.
func Example_withLeaser() {
	server := bitwardentest.New(bitwardentest.Options{})
	secrets, err := bitwarden.Login(context.Background(), server.AccessToken(), inProcess(server))
	if err != nil {
		log.Fatal(err)
	}
	backend, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: server.Project()})
	if err != nil {
		log.Fatal(err)
	}
	leases, err := memory.New(memory.Options{}) // redis.New(client, redis.Options{Prefix: "leases:"})
	if err != nil {
		log.Fatal(err)
	}
	shared := core.WithLeaser(backend, leases)
	store := core.NewStore(shared)

	_, alone := core.As[core.Leaser](backend)
	_, together := core.As[core.Leaser](shared)
	fmt.Println(alone, together, store)
	// Output: false true [token store]
}

// The official SDK's client, which has logged in. This is how it is used; its
// module, github.com/bitwarden/sdk-go, needs cgo.
func ExampleFromSDK() {
	var client interface {
		Secrets() bitwardentest.SDKSecretsInterface
	} = officialClient{} // sdk.NewBitwardenClient(nil, nil)

	backend, err := bitwarden.New(bitwarden.FromSDK(client.Secrets()), bitwarden.Options{
		OrganizationID: bitwardentest.SDKOrganization,
		ProjectID:      bitwardentest.SDKProject,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = backend.Load(context.Background(), "ana@contoso.com")
	fmt.Println(err)
	// Output: bitwarden: load "ana@contoso.com": no record
}

type officialClient struct{}

func (officialClient) Secrets() bitwardentest.SDKSecretsInterface {
	return bitwardentest.NewSDK()
}

// A program that starts often keeps its login in a file.
func ExampleLogin() {
	secrets, err := bitwarden.Login(context.Background(), os.Getenv("BWS_ACCESS_TOKEN"), bitwarden.LoginOptions{
		APIURL:      "https://api.bitwarden.eu", // the cloud in the European Union
		IdentityURL: "https://identity.bitwarden.eu",
		StateFile:   "/var/lib/myapp/bitwarden.state",
	})
	if err != nil {
		log.Fatal(err)
	}
	backend, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: os.Getenv("BWS_PROJECT_ID")})
	if err != nil {
		log.Fatal(err)
	}
	_ = core.NewStore(backend)
}

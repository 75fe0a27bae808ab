package azcore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// A credential for clients of the Azure SDK, whose tokens come from a store. An
// account.Account can stand in the place of the function.
func ExampleNew() {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := core.NewStore(backend)
	sources := azcore.SourceFunc(func(scopes ...string) *core.TokenSource {
		return store.TokenSource("tokens", tokencache.Query{Username: "ana@contoso.com", Scopes: scopes}, nil)
	})
	credential := azcore.New(sources, azcore.Options{})

	_, err = credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	var required *azcore.AuthenticationRequiredError
	fmt.Println(errors.As(err, &required)) // nobody has signed in yet
	// Output: true
}

// slowCredential stands for azidentity.AzureCLICredential, which runs a program for
// every call.
type slowCredential struct{}

func (slowCredential) GetToken(context.Context, policy.TokenRequestOptions) (sdk.AccessToken, error) {
	fmt.Println("az account get-access-token")
	return sdk.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// A credential that is asked once per expiry, whatever the number of processes that
// share the record.
func ExampleRefresh() {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := core.NewStore(backend)
	source := store.TokenSource("az", tokencache.Query{Scopes: []string{"https://graph.microsoft.com/.default"}}, azcore.Refresh(slowCredential{}))
	for range 3 {
		if _, err := source.Token(context.Background()); err != nil {
			fmt.Println(err)
		}
	}
	// Output: az account get-access-token
}

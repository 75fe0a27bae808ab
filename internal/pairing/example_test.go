package pairing

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
	xoauth2 "golang.org/x/oauth2"
)

// The lines of docs/pairing.md: a test compares the two.

const clientID = "11111111-2222-3333-4444-555555555555"

func exampleStore() *core.Store {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		panic(err)
	}
	return core.NewStore(backend)
}

func Example_netHTTP() {
	ctx, store := context.Background(), exampleStore()

	ana, err := account.New(store, "ana", account.Config{ClientID: clientID})
	if err != nil {
		fmt.Println(err)
		return
	}
	graph := &http.Client{Transport: &bearer.Transport{Source: ana.TokenSource("User.Read")}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0/me", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = graph.Do(req)
	fmt.Println(errors.Is(err, core.ErrReauthRequired)) // nobody has signed in yet

	// Output: true
}

func Example_azureSDK() {
	ctx, store := context.Background(), exampleStore()

	ana, err := account.New(store, "ana", account.Config{ClientID: clientID})
	if err != nil {
		fmt.Println(err)
		return
	}
	credential := azcore.New(ana, azcore.Options{})
	auth := runtime.NewBearerTokenPolicy(credential, []string{"https://graph.microsoft.com/.default"}, nil)
	client, err := sdk.NewClient("example", "v1.0.0", runtime.PipelineOptions{PerRetry: []policy.Policy{auth}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := runtime.NewRequest(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0/me")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Pipeline().Do(req)
	var required *azcore.AuthenticationRequiredError
	fmt.Println(errors.As(err, &required)) // nobody has signed in yet

	// Output: true
}

// Not run: there is no Azure CLI here.
func Example_azureCLI() {
	ctx, store := context.Background(), exampleStore()

	cli, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	query := tokencache.Query{Scopes: []string{"https://graph.microsoft.com/.default"}}
	source := store.TokenSource("az", query, azcore.Refresh(cli))
	token, err := source.Token(ctx)
	fmt.Println(token.ExpiresOn, err)
}

func Example_oauth2() {
	ctx, store := context.Background(), exampleStore()

	config := &xoauth2.Config{ClientID: clientID, Endpoint: xoauth2.Endpoint{TokenURL: "https://oauth2.googleapis.com/token"}}
	client, err := oauth2.New(store, "ana", config)
	if err != nil {
		fmt.Println(err)
		return
	}
	// After the sign-in, once: client.Put(ctx, token), with the token of config.Exchange.
	_, err = client.HTTPClient(ctx).Get("https://www.googleapis.com/drive/v3/files")
	fmt.Println(errors.Is(err, core.ErrReauthRequired)) // nobody has signed in yet

	// Output: true
}

func Example_msalGo() {
	ctx, store := context.Background(), exampleStore()

	accessor := msal.NewAccessor(store, msal.AccessorOptions{Record: msal.OneRecord("ana")})
	client, err := public.New(clientID, public.WithCache(accessor))
	if err != nil {
		fmt.Println(err)
		return
	}
	accounts, err := client.Accounts(ctx)
	fmt.Println(len(accounts), err) // nobody has signed in yet

	// Output: 0 <nil>
}

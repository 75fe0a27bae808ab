package page

import (
	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	graph "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go-core/authentication"
)

func GraphAdapter(ana *account.Account) (*graph.GraphRequestAdapterBase, error) {
	credential := azcore.New(ana, azcore.Options{})
	auth, err := authentication.NewAzureIdentityAuthenticationProviderWithScopes(credential, []string{"User.Read"})
	if err != nil {
		return nil, err
	}
	return graph.NewGraphRequestAdapterBase(auth, graph.GraphClientOptions{})
}

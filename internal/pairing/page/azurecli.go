package page

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func AzureCLI(store *core.Store) (*core.TokenSource, error) {
	az, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		return nil, err
	}
	query := tokencache.Query{Scopes: []string{"https://graph.microsoft.com/.default"}}
	return store.TokenSource("az", query, azcore.Refresh(az)), nil
}

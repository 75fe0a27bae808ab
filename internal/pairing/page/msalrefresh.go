package page

import (
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func MSALRefresh(store *core.Store, clientID string) (*core.TokenSource, error) {
	client, err := msal.NewPublic(clientID, msal.WithAuthority("https://login.microsoftonline.com/common"))
	if err != nil {
		return nil, err
	}
	query := tokencache.Query{Username: "ana@contoso.com", Scopes: []string{"User.Read"}}
	return client.TokenSource(store, "ana", query), nil // then source.Token(ctx)
}

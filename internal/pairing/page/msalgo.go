package page

import (
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
)

func MSAL(store *core.Store, clientID string) (public.Client, error) {
	accessor := msal.NewAccessor(store, msal.AccessorOptions{Record: msal.OneRecord("ana")})
	return public.New(clientID, public.WithCache(accessor))
}

package page

import (
	"net/http"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
)

func HTTPClient(store *core.Store, clientID string) (*http.Client, error) {
	ana, err := account.New(store, "ana", account.Config{ClientID: clientID})
	if err != nil {
		return nil, err
	}
	transport := &bearer.Transport{Source: ana.TokenSource("User.Read"), Retry: 3}
	return &http.Client{Transport: transport}, nil // then client.Get("https://graph.microsoft.com/v1.0/me")
}

package page

import (
	"net/http"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
)

func Python(clientID string) (*http.Client, error) {
	backend, err := filesystem.New("/var/lib/app", filesystem.Options{})
	if err != nil {
		return nil, err
	}
	ana, err := account.New(core.NewStore(backend), "o365_token.txt", account.Config{ClientID: clientID, Scopes: []string{"User.Read"}})
	if err != nil {
		return nil, err
	}
	return ana.HTTPClient(), nil
}

package page

import (
	"context"
	"net/http"

	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/core"
	xoauth2 "golang.org/x/oauth2"
)

func OAuth2(ctx context.Context, store *core.Store, config *xoauth2.Config) (*http.Client, error) {
	client, err := oauth2.New(store, "ana", config)
	if err != nil {
		return nil, err
	}
	// After the sign-in, once: client.Put(ctx, token), with the token of config.Exchange.
	return client.HTTPClient(ctx), nil // or client.TokenSource(ctx)
}

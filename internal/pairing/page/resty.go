package page

import (
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"resty.dev/v3"
)

func Resty(source *core.TokenSource) *resty.Client {
	return resty.New().
		SetBaseURL("https://graph.microsoft.com/v1.0").
		SetTransport(&bearer.Transport{Source: source, Retry: 3}) // then client.R().Get("/me")
}

package page

import (
	"net/http"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	kiota "github.com/microsoft/kiota-http-go"
	graph "github.com/microsoftgraph/msgraph-sdk-go-core"
)

func GraphHTTPClient(source *core.TokenSource) *http.Client {
	options := graph.GraphClientOptions{}
	transport := &bearer.Transport{Source: source, PassOthers: true} // downloads and uploads go elsewhere, without a token
	client := graph.GetDefaultClient(&options)
	client.Transport = kiota.NewCustomTransportWithParentTransport(transport, graph.GetDefaultMiddlewaresWithOptions(&options)...)
	return client // with authentication.AnonymousAuthenticationProvider, in an adapter
}

package bearer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// fixedSource always returns one token. A program uses a [core.TokenSource].
type fixedSource struct{ token tokencache.Secret }

func (s fixedSource) Token(context.Context, ...core.TokenOption) (tokencache.AccessToken, error) {
	return tokencache.AccessToken{Secret: s.token}, nil
}

// The transport attaches the token to requests to Microsoft Graph and to loopback addresses.
// A request to another host is an error, and nothing is sent.
func ExampleTransport() {
	resource := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "the server was sent:", r.Header.Get("Authorization"))
	}))
	defer resource.Close()

	client := &http.Client{Transport: &bearer.Transport{Source: fixedSource{"eyJ0"}}}
	answer, err := client.Get(resource.URL) // a program asks for https://graph.microsoft.com/v1.0/me
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(body))

	_, err = client.Get("https://contoso.com/")
	var other *bearer.HostError
	if errors.As(err, &other) {
		fmt.Println("no token for", other.Host)
	}
	// Output:
	// the server was sent: Bearer eyJ0
	// no token for contoso.com
}

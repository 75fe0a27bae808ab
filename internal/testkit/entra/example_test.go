package entra_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// A client keeps the address it has in production; the HTTP client leads it here.
func Example() {
	idp, err := entra.New(entra.Options{Strict: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	app, err := public.New(entra.PublicClient,
		public.WithAuthority("https://login.microsoftonline.com/common"),
		public.WithHTTPClient(idp.HTTPClient()))
	if err != nil {
		fmt.Println(err)
		return
	}
	scopes := []string{"https://graph.microsoft.com/User.Read"}
	res, err := app.AcquireTokenInteractive(ctx, scopes, public.WithOpenURL(idp.Browse))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Account.PreferredUsername)

	// Claims make MSAL refresh although its token is fresh.
	if _, err := app.AcquireTokenSilent(ctx, scopes, public.WithSilentAccount(res.Account), public.WithClaims("{}")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(idp.Grants().RefreshesSucceeded, "refresh")
	// Output:
	// ana@contoso.com
	// 1 refresh
}

// A gate stops time where a race has to be shown: here between the provider's answer
// and its arrival.
func ExampleServer_HoldReply() {
	idp, err := entra.New(entra.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	gate := idp.HoldReply(entra.ClientCredentials)
	arrived := make(chan string)
	go func() {
		resp, err := idp.HTTPClient().PostForm("https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token", map[string][]string{
			"grant_type": {entra.ClientCredentials}, "scope": {"https://graph.microsoft.com/.default"},
			"client_id": {entra.ConfidentialClient}, "client_secret": {entra.ConfidentialSecret},
		})
		if err != nil {
			arrived <- err.Error()
			return
		}
		defer resp.Body.Close()
		arrived <- http.StatusText(resp.StatusCode)
	}()
	if err := gate.Await(ctx, 1); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("issued:", idp.Grants().Total.Succeeded)
	gate.Open()
	fmt.Println("arrived:", <-arrived)
	// Output:
	// issued: 1
	// arrived: OK
}

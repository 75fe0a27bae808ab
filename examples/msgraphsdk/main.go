// Command msgraphsdk uses Microsoft's Graph SDK with stored tokens: it shows who is signed in
// and the subjects of the mail, and uploads a file.
//
//	go run . CLIENT_ID [FILE]
//
// CLIENT_ID is the ID of an application that is registered at Microsoft Entra, with the redirect
// URI http://localhost of the platform "Mobile and desktop applications". The first run signs
// the user in with the browser. The SDK takes minutes to build for the first time.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/microsoft/kiota-abstractions-go/authentication"
	kiota "github.com/microsoft/kiota-http-go"
	graph "github.com/microsoftgraph/msgraph-sdk-go"
	graphcore "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go-core/fileuploader"
	"github.com/microsoftgraph/msgraph-sdk-go/drives"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
)

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		log.Fatal("usage: msgraphsdk CLIENT_ID [FILE]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, clientID string, files []string) error {
	config, err := os.UserConfigDir()
	if err != nil {
		return err
	}
	backend, err := filesystem.New(filepath.Join(config, "graphtoken-msgraphsdk"), filesystem.Options{})
	if err != nil {
		return err
	}
	store := core.NewStore(backend)
	defer store.Flush(context.WithoutCancel(ctx)) // waits for refreshes in the background
	user, err := account.New(store, "me", account.Config{ClientID: clientID, Scopes: []string{"User.Read", "Mail.Read", "Files.ReadWrite"}})
	if err != nil {
		return err
	}
	signedIn, err := user.IsAuthenticated(ctx)
	if err != nil {
		return err
	}
	if !signedIn {
		show := func(address string) error { _, err := fmt.Println("Sign in at", address); return err }
		if err := user.Authenticate(ctx, account.Loopback(show), account.AuthOptions{}); err != nil {
			return err
		}
	}

	client, err := newClient(user.TokenSource(), nil)
	if err != nil {
		return err
	}
	name, err := client.me(ctx)
	if err != nil {
		return err
	}
	fmt.Println(name)
	if err := client.messages(ctx, func(subject string) { fmt.Println(" ", subject) }); err != nil {
		return err
	}
	for _, file := range files {
		if err := client.upload(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// client is Microsoft's client, and its adapter.
type client struct {
	*graph.GraphServiceClient
	adapter *graph.GraphRequestAdapter
}

// newClient has the SDK's middleware above the transport that attaches the tokens. So a token
// that is refused is replaced, with a claims challenge or without, and the request is sent again.
// A nil base is http.DefaultTransport.
func newClient(source bearer.TokenSource, base http.RoundTripper) (*client, error) {
	transport := &bearer.Transport{
		Source: source, Base: base, Retry: 3,
		PassOthers: true, // the content of files is at other hosts, where no token may go
	}
	options := graph.GetDefaultClientOptions()
	web := graphcore.GetDefaultClient(&options)
	web.Transport = kiota.NewCustomTransportWithParentTransport(transport, graphcore.GetDefaultMiddlewaresWithOptions(&options)...)
	adapter, err := graph.NewGraphRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(
		&authentication.AnonymousAuthenticationProvider{}, nil, nil, web)
	if err != nil {
		return nil, err
	}
	return &client{graph.NewGraphServiceClient(adapter), adapter}, nil
}

// me returns the name of the signed-in user.
func (c *client) me(ctx context.Context) (string, error) {
	me, err := c.Me().Get(ctx, nil)
	if err != nil {
		return "", err
	}
	if name := me.GetUserPrincipalName(); name != nil {
		return *name, nil
	}
	return "", errors.New("the user has no name")
}

// messages hands over the subjects of all messages, page by page.
func (c *client) messages(ctx context.Context, each func(subject string)) error {
	first, err := c.Me().Messages().Get(ctx, nil)
	if err != nil {
		return err
	}
	pages, err := graphcore.NewPageIterator[models.Messageable](first, c.adapter, models.CreateMessageCollectionResponseFromDiscriminatorValue)
	if err != nil {
		return err
	}
	return pages.Iterate(ctx, func(m models.Messageable) bool {
		if subject := m.GetSubject(); subject != nil {
			each(*subject)
		}
		return true
	})
}

// partSize is what an upload sends at once. Graph wants a multiple of 320 KiB.
const partSize = 10 * 320 << 10

// upload stores a file in the root of the user's drive, in an upload session.
func (c *client) upload(ctx context.Context, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	drive, err := c.Me().Drive().Get(ctx, nil)
	if err != nil {
		return err
	}
	item := c.Drives().ByDriveId(*drive.GetId()).Items().ByDriveItemId("root:/" + filepath.Base(name) + ":")
	session, err := item.CreateUploadSession().Post(ctx, drives.NewItemItemsItemCreateUploadSessionPostRequestBody(), nil)
	if err != nil {
		return err
	}
	task := fileuploader.NewLargeFileUploadTask[models.DriveItemable](c.adapter, session, file, partSize, models.CreateDriveItemFromDiscriminatorValue, nil)
	result := task.Upload(func(sent, size int64) { fmt.Printf("%s: %d of %d bytes\n", name, sent, size) })
	return errors.Join(result.GetResponseErrors()...)
}

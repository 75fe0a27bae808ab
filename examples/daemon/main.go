// Command daemon acts as itself, without a user: it asks Microsoft Graph about a user
// at every interval, and keeps its token in a SQLite database, which further
// processes may share.
//
//	CLIENT_SECRET=… go run . -client-id ID -tenant contoso.com ana@contoso.com
//	go run . -client-id ID -tenant contoso.com -certificate daemon.pem ana@contoso.com
//
// The application is registered at Microsoft Entra with the secret or the certificate,
// and has the application permission User.Read.All, to which an administrator has
// consented. Without -every, the program asks once and ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/sql"
	"github.com/graphtoken/graphtoken/core"
)

func main() {
	log.SetFlags(0)
	var (
		clientID    = flag.String("client-id", "", "the application's ID")
		tenant      = flag.String("tenant", "", "the tenant's ID or domain")
		certificate = flag.String("certificate", "", "a PEM file with the certificate and its key; without it, CLIENT_SECRET holds the secret")
		database    = flag.String("database", "daemon.db", "the SQLite database")
		every       = flag.Duration("every", 0, "how often to ask; 0 means once")
	)
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: daemon [flags] USER (see -help)")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	credential, err := credentialFrom(*certificate)
	if err != nil {
		log.Fatal(err)
	}
	store, err := openStore(ctx, *database)
	if err != nil {
		log.Fatal(err)
	}
	app, err := account.NewApp(store, account.Config{ClientID: *clientID, Tenant: *tenant, Credential: credential})
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, app, flag.Arg(0), *every)
	// A token that came last is saved before the program ends.
	if err := errors.Join(err, store.Flush(context.WithoutCancel(ctx))); err != nil {
		log.Fatal(err)
	}
}

func credentialFrom(certificate string) (account.Credential, error) {
	if certificate != "" {
		return account.LoadCertificate(certificate, "")
	}
	secret := os.Getenv("CLIENT_SECRET")
	if secret == "" {
		return account.Credential{}, errors.New("set CLIENT_SECRET, or name a -certificate")
	}
	return account.Secret(secret), nil
}

func openStore(ctx context.Context, database string) (*core.Store, error) {
	db, err := gorm.Open(sqlite.Open(database+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	backend, err := sql.New(db, sql.Options{})
	if err != nil {
		return nil, err
	}
	return core.NewStore(backend), backend.Migrate(ctx)
}

// run asks at every interval until ctx ends. A call that fails is logged, and the next
// one may succeed.
func run(ctx context.Context, app *account.App, user string, every time.Duration) error {
	itself, err := app.Application()
	if err != nil {
		return err
	}
	graph := itself.HTTPClient()
	if every <= 0 {
		return report(ctx, graph, user)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := report(ctx, graph, user); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// report prints what Microsoft Graph knows of a user.
func report(ctx context.Context, graph *http.Client, user string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0/users/"+url.PathEscape(user), nil)
	if err != nil {
		return err
	}
	answer, err := graph.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer of Microsoft Graph is %s", answer.Status)
	}
	var found struct {
		ID                string `json:"id"`
		UserPrincipalName string `json:"userPrincipalName"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return err
	}
	fmt.Println(found.UserPrincipalName, "is", found.ID)
	return nil
}

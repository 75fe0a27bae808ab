// Command webapp is a web application that many users sign in to with their Microsoft
// accounts. It shows who is signed in, with which scopes and until when, and calls
// Microsoft Graph for the user.
//
//	CLIENT_SECRET=… go run . -client-id ID
//
// Open http://localhost:8080. The application is registered at Microsoft Entra with the
// redirect URI http://localhost:8080/callback of the platform "Web", and a secret.
//
// Sessions and tokens are in the memory of the process, and lost when the process ends.
// With -redis localhost:6379 they are in Redis, which any number of processes share.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/account/scope"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
)

func main() {
	log.SetFlags(0)
	var (
		clientID = flag.String("client-id", "", "the application's ID")
		tenant   = flag.String("tenant", "common", "whose users may sign in: a tenant's ID or domain, organizations, or common")
		address  = flag.String("listen", "localhost:8080", "where to listen")
		public   = flag.String("url", "http://localhost:8080", "the address that users see, without a slash at its end")
		server   = flag.String("redis", "", "the Redis server for sessions and tokens; in memory without it")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	where, err := open(*server)
	if err != nil {
		log.Fatal(err)
	}
	store := core.NewStore(where.tokens)
	app, err := account.NewApp(store, account.Config{
		ClientID:    *clientID,
		Credential:  account.Secret(os.Getenv("CLIENT_SECRET")),
		Tenant:      *tenant,
		RedirectURL: *public + "/callback",
		Scopes:      scope.For("basic"),
	})
	if err != nil {
		log.Fatal(err)
	}
	sessions := scs.New()
	sessions.Store = where.sessions
	sessions.Cookie.Secure = strings.HasPrefix(*public, "https:")

	pages := handler(&web{app: app, sessions: sessions, flows: where.flows})
	err = serve(ctx, &http.Server{Addr: *address, Handler: pages, ReadHeaderTimeout: 10 * time.Second})
	// Tokens that came last are saved before the program ends.
	if err := errors.Join(err, store.Flush(context.WithoutCancel(ctx))); err != nil {
		log.Fatal(err)
	}
}

// places are where sessions, flows and tokens are kept.
type places struct {
	tokens   core.TokenBackend
	sessions scs.Store
	flows    flows
}

// open opens the Redis server, or memory where none is named.
func open(server string) (where places, err error) {
	if server == "" {
		where.tokens, err = memory.New(memory.Options{})
		where.sessions, where.flows = memstore.New(), &flowsInMemory{store: memstore.New()}
		return where, err
	}
	client := goredis.NewClient(&goredis.Options{Addr: server})
	where.tokens, err = redis.New(client, redis.Options{Prefix: "webapp:token:"})
	where.sessions, where.flows = goredisstore.NewWithPrefix(client, "webapp:session:"), flowsInRedis{client}
	return where, err
}

// serve serves until ctx ends, and lets requests under way finish.
func serve(ctx context.Context, server *http.Server) error {
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

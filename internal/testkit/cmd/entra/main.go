// Command entra serves the imitation of Microsoft Entra and Microsoft Graph on
// 127.0.0.1, for people who want to try a client by hand:
//
//	go run ./internal/testkit/cmd/entra --ca ca.pem --strict --lifetime 10m
//
// It prints what such a client has to be told, then one line per token request, until
// it is interrupted. /testkit/ on the same port steers it: see the package entra.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp): // it was asked for, and is printed
	case err != nil:
		fmt.Fprintln(os.Stderr, "entra:", strings.TrimPrefix(err.Error(), "entra: "))
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("entra", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:0", "loopback `address` to listen on")
	ca := flags.String("ca", "", "`file` to write the CA's certificate to, for the client to trust")
	strict := flags.Bool("strict", false, "refresh tokens are single use; reuse revokes the sign-in")
	grace := flags.Duration("grace", 0, "with --strict: how long a spent refresh token is answered again")
	lifetime := flags.Duration("lifetime", time.Hour, "of access tokens")
	proxy := flags.String("proxy", "", "loopback `address` of an HTTP proxy that leads every https address here, for programs that can't be told another authority")
	users := flags.String("users", entra.Ana, "comma-separated `names` of those who can sign in")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	o := entra.Options{Addr: *listen, Strict: *strict, ReuseGrace: *grace, Lifetime: *lifetime, OnGrant: printer(stderr)}
	for _, name := range strings.Split(*users, ",") {
		o.Users = append(o.Users, entra.User{Username: strings.TrimSpace(name)})
	}
	if len(o.Users) == 1 {
		o.DefaultUser = o.Users[0].Username // nothing to choose
	}
	s, err := entra.New(o)
	if err != nil {
		return err
	}
	defer s.Close()
	if *ca == "" {
		*ca = filepath.Join(os.TempDir(), fmt.Sprintf("graphtoken-testkit-ca-%d.pem", os.Getpid()))
		defer os.Remove(*ca)
	}
	if err := s.WriteCA(*ca); err != nil {
		return fmt.Errorf("write the CA's certificate: %w", err)
	}
	if err := greet(stdout, s, *ca); err != nil {
		return err
	}
	if *proxy == "" {
		<-ctx.Done()
		return nil
	}
	return serveProxy(ctx, *proxy, s, stdout, *ca)
}

// serveProxy serves the proxy until ctx is done.
func serveProxy(ctx context.Context, address string, s *entra.Server, stdout io.Writer, ca string) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the proxy: %w", err)
	}
	if at, ok := listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		_ = listener.Close()
		return fmt.Errorf("the proxy: %s is not a loopback address", address)
	}
	if _, err := fmt.Fprintf(stdout, "proxy          HTTPS_PROXY=http://%s SSL_CERT_FILE=%s\n", listener.Addr(), ca); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: s.Proxy(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the proxy: %w", err)
	}
	return nil
}

func greet(w io.Writer, s *entra.Server, ca string) error {
	var names []string
	for _, u := range s.Users() {
		names = append(names, u.Username)
	}
	_, err := fmt.Fprintf(w, `authority      %s
ca file        %s
graph          %s/v1.0/me
public client  %s
confidential   %s  secret %s
users          %s
control        %s/testkit/grants
`, s.Authority("common"), ca, s.URL(), entra.PublicClient, entra.ConfidentialClient, entra.ConfidentialSecret,
		strings.Join(names, ", "), s.URL())
	return err
}

// printer writes one line per event; events come from many requests at once.
func printer(w io.Writer) func(entra.Event) {
	var mu sync.Mutex
	return func(e entra.Event) {
		mu.Lock()
		defer mu.Unlock()
		// An error means that standard error is closed: then nobody reads it.
		_, _ = fmt.Fprintf(w, "%s  %-18s %-20s %s\n", e.Time.Format("15:04:05.000"), e.Grant, e.Username, e.Outcome)
	}
}

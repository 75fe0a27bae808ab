package account

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// LoopbackOptions changes how SignInLoopback goes about it.
type LoopbackOptions struct {
	AuthOptions

	// Open shows the user the sign-in page: it starts a browser, or prints
	// the address. It must not wait for the sign-in to end.
	Open func(address string) error

	// Port to listen on; any free one by default.
	Port int
}

// SignInLoopback signs a user in with a browser on this machine: it listens on one
// port of 127.0.0.1 and ::1, opens the sign-in page, and waits for the browser to
// come back, or for ctx. The application's registration must list http://localhost
// (platform "Mobile and desktop applications"); Entra doesn't compare the port
// (RFC 8252 section 7.3).
//
// What SignIn says of its context and of core.ErrRefreshedNotSaved is true here too.
//
// The code comes back in a form rather than in an address, which browsers
// remember. A visit that isn't the sign-in's own is turned away, and waiting
// goes on.
func (a *Account) SignInLoopback(ctx context.Context, o LoopbackOptions) error {
	if o.Open == nil {
		return errors.New("account: sign in: LoopbackOptions.Open is not set")
	}
	return a.Authenticate(ctx, o, o.AuthOptions)
}

// SignIn implements [Prompt].
func (o LoopbackOptions) SignIn(ctx context.Context, t *Attempt) error {
	var lc net.ListenConfig
	listeners, err := listen(lc.Listen).onLoopback(ctx, o.Port)
	if err != nil {
		return fmt.Errorf("account: sign in: %w", err)
	}
	port := portOf(listeners[0])
	t.Options.RedirectURL, t.Options.FormPost = "http://localhost:"+strconv.Itoa(port), true
	address, flow, err := t.AuthURL(ctx)
	if err != nil {
		closeAll(listeners)
		return err
	}

	visits := make(chan visit)
	gone := make(chan struct{}) // nobody waits for visits any more
	server := &http.Server{Handler: onlyHost(port, receiver(flow, visits, gone)), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- server.Serve(l) }()
	}
	defer func() {
		close(gone)
		// The last page is on its way: let it arrive.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}()

	if err := o.Open(address); err != nil {
		return fmt.Errorf("account: sign in: open the sign-in page: %w", err)
	}
	select {
	case v := <-visits:
		err := t.SignIn(ctx, flow, v.params.Encode())
		v.outcome <- err
		return err
	case err := <-served:
		return fmt.Errorf("account: sign in: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("account: sign in: nobody came back: %w", ctx.Err())
	}
}

// visit is the browser coming back; the page it gets says how it went.
type visit struct {
	params  url.Values
	outcome chan error // of capacity 1
}

func receiver(flow Flow, visits chan<- visit, gone <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		if r.ParseForm() != nil {
			page(w, http.StatusBadRequest, "That could not be read.")
			return
		}
		if _, err := flow.in().code(r.Form); errors.Is(err, ErrStateMismatch) {
			page(w, http.StatusBadRequest, "This is not the sign-in that is waited for. Begin it again.")
			return
		}
		v := visit{r.Form, make(chan error, 1)}
		select {
		case visits <- v:
		case <-gone:
			page(w, http.StatusGone, "This sign-in is over.")
			return
		case <-r.Context().Done():
			return
		}
		switch err := <-v.outcome; {
		case errors.Is(err, core.ErrRefreshedNotSaved):
			page(w, http.StatusOK, "You are signed in, but the tokens could not be saved yet. The program has the reason.")
		case err != nil:
			page(w, http.StatusOK, "The sign-in failed: "+err.Error())
		default:
			page(w, http.StatusOK, "You are signed in. This window can be closed.")
		}
	})
	return mux
}

func page(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address may have the code in it
	w.WriteHeader(status)
	// A browser that is gone can't be told.
	_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign-in</title></head><body><p>%s</p></body></html>\n", html.EscapeString(text))
}

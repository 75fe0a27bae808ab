package account

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Loopback returns a Prompt for a user with a browser on this machine. It listens on one
// port of 127.0.0.1 and ::1, calls open to show the sign-in page, and waits for the
// browser to come back, or for the context. open starts a browser, or prints the address;
// it must not wait for the sign-in to end.
//
// The application must be registered with http://localhost (platform "Mobile and desktop
// applications"). Entra doesn't compare the port (RFC 8252 section 7.3), so any free one
// is used. AuthOptions.RedirectURL can name the port, and a path that is registered:
// "http://localhost:8400/callback". Config.RedirectURL is for other prompts.
//
// The code comes back in a form rather than in an address, which browsers remember. A
// visit that doesn't belong to the sign-in is refused, and the wait goes on.
func Loopback(open func(address string) error) Prompt { return loopback{open} }

type loopback struct{ open func(address string) error }

// SignIn implements [Prompt].
func (l loopback) SignIn(ctx context.Context, t *Attempt) error {
	if l.open == nil {
		return errors.New("account: sign in: Loopback has no function that opens the sign-in page")
	}
	home, err := parseLoopback(t.Options.RedirectURL)
	if err != nil {
		return fmt.Errorf("account: sign in: %w", err)
	}
	var lc net.ListenConfig
	listeners, err := listen(lc.Listen).onLoopback(ctx, home.port)
	if err != nil {
		return fmt.Errorf("account: sign in: %w", err)
	}
	home.port = portOf(listeners[0])
	t.Options.RedirectURL, t.Options.FormPost = home.String(), true
	address, flow, err := t.AuthURL(ctx)
	if err != nil {
		closeAll(listeners)
		return err
	}

	redirect := serveRedirect(home, flow, listeners)
	defer redirect.close(ctx)
	if err := l.open(address); err != nil {
		return fmt.Errorf("account: sign in: open the sign-in page: %w", err)
	}
	select {
	case v := <-redirect.visits:
		err := t.SignIn(ctx, flow, v.params.Encode())
		v.outcome <- err
		return err
	case err := <-redirect.failed:
		return fmt.Errorf("account: sign in: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("account: sign in: the browser didn't come back: %w", ctx.Err())
	}
}

// redirectServer answers at the redirect URL of one sign-in.
type redirectServer struct {
	http   *http.Server
	visits chan visit
	closed chan struct{} // no goroutine waits for visits any more
	failed chan error    // a listener can't be served
}

func serveRedirect(at home, flow Flow, listeners []net.Listener) *redirectServer {
	s := &redirectServer{visits: make(chan visit), closed: make(chan struct{}), failed: make(chan error, len(listeners))}
	s.http = &http.Server{Handler: at.only(s.receiver(flow)), ReadHeaderTimeout: 10 * time.Second}
	for _, listener := range listeners {
		go func() { s.failed <- s.http.Serve(listener) }()
	}
	return s
}

// close ends the server. The last page is on its way, and may arrive.
func (s *redirectServer) close(ctx context.Context) {
	close(s.closed)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}

// visit is the browser coming back; the page it gets says how it went.
type visit struct {
	params  url.Values
	outcome chan error // of capacity 1
}

// receiver passes on the visits that belong to the sign-in, and answers how it went.
func (s *redirectServer) receiver(flow Flow) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		if r.ParseForm() != nil {
			page(w, http.StatusBadRequest, "That could not be read.")
			return
		}
		if !flow.in().isOf(r.Form) {
			page(w, http.StatusBadRequest, "This is not the sign-in that is waited for. Begin it again.")
			return
		}
		v := visit{r.Form, make(chan error, 1)}
		select {
		case s.visits <- v:
		case <-s.closed:
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
}

func page(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address may have the code in it
	w.WriteHeader(status)
	// If the browser is gone, it can't be told.
	_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign-in</title></head><body><p>%s</p></body></html>\n", html.EscapeString(text))
}

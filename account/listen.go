package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// loopbackAddresses are the addresses that "localhost" can mean. Each browser tries them
// in its own order.
var loopbackAddresses = []string{"127.0.0.1", "::1"}

// freePortAttempts limits the search for a port that is free on every address.
const freePortAttempts = 16

// listen is net.ListenConfig.Listen.
type listen func(ctx context.Context, network, address string) (net.Listener, error)

// onLoopback listens on one port of every loopback address that the machine has: a free
// one if port is 0. If another program had the port on one of the addresses, the browser
// could take the code there.
func (l listen) onLoopback(ctx context.Context, port int) ([]net.Listener, error) {
	addresses, err := l.present(ctx)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		listeners, err := l.onAll(ctx, addresses, port)
		if err == nil || port != 0 || attempt == freePortAttempts {
			return listeners, err
		}
	}
}

// present returns the loopback addresses that the machine has: some have no IPv6,
// a few no IPv4.
func (l listen) present(ctx context.Context) (addresses []string, err error) {
	var missing error
	for _, address := range loopbackAddresses {
		listeners, err := l.onAll(ctx, []string{address}, 0)
		if err != nil {
			missing = errors.Join(missing, err)
			continue
		}
		closeAll(listeners)
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 {
		return nil, missing
	}
	return addresses, nil
}

// onAll listens on one port of all addresses, or on none.
func (l listen) onAll(ctx context.Context, addresses []string, port int) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		listener, err := l(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			closeAll(listeners)
			return nil, err
		}
		listeners = append(listeners, listener)
		port = portOf(listener) // if it was 0, the first address has chosen
	}
	return listeners, nil
}

func portOf(l net.Listener) int {
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		panic(fmt.Sprintf("account: a TCP listener on %v", l.Addr()))
	}
	return address.Port
}

// closeAll closes listeners to which no browser has come.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// home is the address on this machine to which the browser comes back.
type home struct {
	host string // localhost, 127.0.0.1 or [::1]
	port int    // 0 until it is known
	path string
}

// parseLoopback reads a redirect URL; "" is any port of localhost.
func parseLoopback(redirectURL string) (home, error) {
	if redirectURL == "" {
		return home{host: "localhost"}, nil
	}
	u, err := url.Parse(redirectURL)
	if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() != "localhost" && !slices.Contains(loopbackAddresses, u.Hostname()) {
		return home{}, fmt.Errorf("the redirect URL of a Loopback prompt is http://localhost with a port and a path or without, and not %s", core.Printable(redirectURL))
	}
	port := 0
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil || port < 1 || port > 65535 {
			return home{}, fmt.Errorf("%s is no port", core.Printable(p))
		}
	}
	return home{host: strings.TrimSuffix(u.Host, ":"+u.Port()), port: port, path: u.EscapedPath()}, nil
}

func (h home) String() string { return "http://" + h.host + ":" + strconv.Itoa(h.port) + h.path }

// only serves requests to home, and refuses others: a page of another name that resolves
// to this machine (DNS rebinding) must not reach the listener.
func (h home) only(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		named := r.Host
		if h.port == 80 && named == h.host {
			named += ":80" // which browsers leave out
		}
		switch {
		case !strings.EqualFold(named, h.host+":"+strconv.Itoa(h.port)):
			page(w, http.StatusMisdirectedRequest, "This listener answers at "+h.String()+" alone.")
		case r.URL.EscapedPath() != cmp.Or(h.path, "/"):
			page(w, http.StatusNotFound, "There is nothing here.")
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

package account

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// loopbackAddresses are what "localhost" can mean. Browsers try them in an order
// of their own.
var loopbackAddresses = []string{"127.0.0.1", "::1"}

// freePortAttempts bounds the search for a port that is free on every address.
const freePortAttempts = 16

// listen is net.ListenConfig.Listen.
type listen func(ctx context.Context, network, address string) (net.Listener, error)

// onLoopback listens on one port of every loopback address that the machine has: a
// free one where port is 0. If another program had the port on one of them, the
// browser could take the code there.
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

// closeAll closes listeners that nobody has come to.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// onlyHost serves requests that are addressed to localhost at port, and refuses
// others: a page of another name that resolves to this machine (DNS rebinding)
// must not speak to the listener.
func onlyHost(port int, h http.Handler) http.Handler {
	host := "localhost:" + strconv.Itoa(port)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		named := r.Host
		if !strings.Contains(named, ":") {
			named += ":80" // which browsers leave out
		}
		if !strings.EqualFold(named, host) {
			page(w, http.StatusMisdirectedRequest, "This listener answers at http://"+host+" alone.")
			return
		}
		h.ServeHTTP(w, r)
	})
}

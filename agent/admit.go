package agent

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"strconv"

	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core/bearer"
)

// connection is what Serve knows of the connection of a request.
type connection struct {
	unix bool // at a Unix socket, from a process of the agent's user
	pid  int  // of the caller; 0 if it isn't known
	port int  // of the loopback listener
}

type connectionKey struct{}

func withConnection(ctx context.Context, c connection) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// identityHeader is where Azure's SDKs send IDENTITY_HEADER.
const identityHeader = "X-Identity-Header"

// admit refuses requests that no program of the user sends: a web page's, another user's.
func (a *Agent) admit(r *http.Request) *failure {
	c, own := r.Context().Value(connectionKey{}).(connection)
	stops := r.Method == http.MethodPost && r.URL.Path == "/stop" && own && c.unix
	switch {
	case r.Method != http.MethodGet && !stops:
		return refuse(http.StatusMethodNotAllowed, client.CodeBadRequest, "only GET is answered")
	// A browser sends one of these with every request that a page makes.
	case r.Header.Get("Origin") != "", r.Header.Get("Sec-Fetch-Site") != "", r.Header.Get("Referer") != "":
		return refuse(http.StatusForbidden, client.CodeUnauthorized, "web pages are not answered")
	case own && c.unix:
		return nil
	case own && !isLoopback(r.Host, c.port): // a page can have a name of its own resolved to this machine
		return refuse(http.StatusForbidden, client.CodeUnauthorized, "the request is for another host")
	case subtle.ConstantTimeCompare([]byte(r.Header.Get(identityHeader)), []byte(a.secret)) != 1:
		return refuse(http.StatusUnauthorized, client.CodeUnauthorized, "the header X-IDENTITY-HEADER is missing or wrong")
	}
	return nil
}

// isLoopback reports whether a Host header names this machine and the listener's port.
func isLoopback(host string, port int) bool {
	name, number, err := net.SplitHostPort(host)
	return err == nil && number == strconv.Itoa(port) && bearer.Loopback(name)
}

// callerOf names a caller for the limits: its process where that is known.
func callerOf(r *http.Request) string {
	c, _ := r.Context().Value(connectionKey{}).(connection)
	return strconv.Itoa(c.pid)
}

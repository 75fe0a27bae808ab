package agent

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"strconv"

	"github.com/graphtoken/graphtoken/agent/client"
)

// connection is what the agent's own server knows of one.
type connection struct {
	unix bool // from a process of the agent's user
	pid  int  // of the caller; 0 where it is not known
	port int  // that a loopback listener has
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
	switch {
	case r.Method != http.MethodGet && !(r.Method == http.MethodPost && r.URL.Path == "/stop" && own && c.unix):
		return &failure{http.StatusMethodNotAllowed, client.CodeBadRequest, "only GET is answered", 0}
	// A browser sends one of these with every request that a page makes.
	case r.Header.Get("Origin") != "", r.Header.Get("Sec-Fetch-Site") != "", r.Header.Get("Referer") != "":
		return &failure{http.StatusForbidden, client.CodeUnauthorized, "web pages are not answered", 0}
	case own && c.unix:
		return nil
	case own && !isLoopback(r.Host, c.port): // a name that a page had resolved to this machine
		return &failure{http.StatusForbidden, client.CodeUnauthorized, "the request is for another host", 0}
	case subtle.ConstantTimeCompare([]byte(r.Header.Get(identityHeader)), []byte(a.secret)) != 1:
		return &failure{http.StatusUnauthorized, client.CodeUnauthorized, "the header X-IDENTITY-HEADER is missing or wrong", 0}
	}
	return nil
}

// isLoopback reports whether a Host header names this machine and the listener's port.
func isLoopback(host string, port int) bool {
	name, number, err := net.SplitHostPort(host)
	if err != nil || number != strconv.Itoa(port) {
		return false
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// callerOf names a caller for the limits: its process where that is known.
func callerOf(r *http.Request) string {
	c, _ := r.Context().Value(connectionKey{}).(connection)
	return strconv.Itoa(c.pid)
}

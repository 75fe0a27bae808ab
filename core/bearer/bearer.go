// Package bearer sends requests to Microsoft Graph, or to any resource that
// takes bearer tokens (RFC 6750), with an access token from a token source.
//
//	client := &http.Client{Transport: &bearer.Transport{Source: store.TokenSource(key, query, refresh)}}
//	resp, err := client.Get("https://graph.microsoft.com/v1.0/me")
package bearer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// TokenSource is what a Transport needs of a [core.TokenSource].
type TokenSource interface {
	Token(ctx context.Context, opts ...core.TokenOption) (tokencache.AccessToken, error)
}

// Transport is an [http.RoundTripper] that attaches the source's token to each request.
// After a 401 it asks the source for another token, with the claims challenge if there is
// one, and sends the request once more. It does so only if the body can be sent again:
// the request has no body, or has GetBody, or the body is an [io.Seeker] that can be
// wound back after its Close. With Retry it also sends a request again when the server is
// too busy for it.
//
// A token is sent to the Transport's hosts and to loopback addresses alone. A request to
// another host is a [*HostError], and nothing is sent. To a host that is no loopback
// address, the token goes over https alone. After a redirect to another host the request
// is sent without the token: Graph redirects downloads to addresses that contain their
// own authorization and refuse a second one.
//
// A Transport is safe for concurrent use if its source and base are.
type Transport struct {
	Source TokenSource
	Base   http.RoundTripper // http.DefaultTransport if nil

	// Hosts are the hosts that may get the token, besides localhost and loopback
	// addresses. Each is the whole name of one host, without a scheme and without
	// wildcards, in any letter case. It means all ports of the host, or one port if it
	// names one ("graph.contoso.com:8443").
	//
	// Nil means Microsoft Graph's hosts in all clouds, see [GraphHosts]. An empty list
	// that is not nil means loopback addresses alone.
	Hosts []string

	// PassOthers sends requests to other hosts as they are, without a token, instead of
	// refusing them. The clients that Microsoft generates need it: they follow redirects by
	// themselves, and send the parts of an upload session to its own address.
	PassOthers bool

	// Retry is how often a request is sent again after 429 (too many requests), 502, 503
	// or 504; zero is never. python-o365 has 3. The transport waits as long as the answer
	// asks for (Retry-After), or else half a second, one, two, and so on. The answer is
	// returned as it is where that is longer than three minutes, where the request's
	// context ends before, where the body can't be sent again, and, after a 502 or 504,
	// where the request must not be made twice: a POST or PATCH without an
	// Idempotency-Key header.
	Retry int
}

// GraphHosts returns the hosts of Microsoft Graph: global, US Government L4 and L5, and
// China (https://learn.microsoft.com/graph/deployments), and the canary host to which
// Microsoft's own clients send tokens, too. A program that also calls another host
// appends it.
func GraphHosts() []string {
	return []string{
		"graph.microsoft.com",
		"graph.microsoft.us",
		"dod-graph.microsoft.us",
		"microsoftgraph.chinacloudapi.cn",
		"canary.graph.microsoft.com",
	}
}

var graphHosts = GraphHosts()

// ErrInsecure is returned for a request that would send the token unencrypted (RFC 6750
// section 5.3).
var ErrInsecure = errors.New("bearer: a token is not sent over plain http")

// ErrUnsendable is returned if the source's token is no bearer token (its type is
// another, such as "pop"), is empty, or has a character that no access token has (RFC
// 6749 appendix A.12). A line break in it would begin another header.
var ErrUnsendable = errors.New("bearer: the token from the source isn't a bearer token, is empty, or has characters that a token can't have; sign in again for a new one")

// HostError is returned for a request to a host that isn't one of the Transport's. The
// request was not sent.
type HostError struct {
	Host string // with its port, if the request's URL has one
}

func (e *HostError) Error() string {
	return "bearer: the token is not sent to " + strconv.Quote(core.Printable(e.Host)) +
		", which is not among Transport.Hosts; add the host if the token is meant for it, or set Transport.PassOthers if the request is to go without"
}

// RoundTrip implements [http.RoundTripper]. Errors of the source are returned unchanged;
// the request was not sent then, or was answered with 401.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if redirectedAway(req) {
		return t.pass(req)
	}
	if err := t.admit(req.URL); err != nil {
		var other *HostError
		if t.PassOthers && errors.As(err, &other) {
			return t.pass(req)
		}
		closeBody(req.Body)
		return nil, err
	}
	b := body{req: req}
	out := b.first()
	for retries := 0; ; retries++ {
		resp, err := t.send(&b, out)
		if err != nil {
			return nil, err
		}
		next, ok, err := t.again(&b, resp, retries)
		if err != nil {
			return nil, err
		}
		if !ok {
			return resp, nil
		}
		out = next
	}
}

// send sends the request with a token, and after a 401 once more with another one.
func (t *Transport) send(b *body, out io.ReadCloser) (*http.Response, error) {
	token, err := t.token(b.req.Context())
	if err != nil {
		closeBody(out)
		return nil, err
	}
	resp, err := t.pass(authorized(b.req, out, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again, ok := b.again()
	if !ok {
		return resp, nil
	}
	fresh, err := t.token(b.req.Context(), core.Rejected(token.Secret), core.Claims(claimsChallenge(resp.Header)))
	if err == nil && fresh.Secret != token.Secret {
		discard(resp)
		return t.pass(authorized(b.req, again, fresh))
	}
	closeBody(again)
	if err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("bearer: the token was refused (401): %w", err)
	}
	return resp, nil
}

// pass sends the request as it is.
func (t *Transport) pass(req *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(req)
}

// token returns the source's token, if a header can hold it.
func (t *Transport) token(ctx context.Context, opts ...core.TokenOption) (tokencache.AccessToken, error) {
	token, err := t.Source.Token(ctx, opts...)
	if err == nil && !(isBearer(token.TokenType) && sendable(token.Secret.Reveal())) {
		return tokencache.AccessToken{}, ErrUnsendable
	}
	return token, err
}

// isBearer reports whether a token is one that is good by itself (RFC 6750).
func isBearer(tokenType string) bool {
	return tokenType == "" || strings.EqualFold(tokenType, "Bearer")
}

// sendable reports whether a token is of RFC 6749's VSCHARs.
func sendable(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' })
}

// admit returns the error of a request to which the token must not be attached.
func (t *Transport) admit(u *url.URL) error {
	if Loopback(u.Hostname()) {
		return nil
	}
	if u.Scheme != "https" {
		return ErrInsecure
	}
	hosts := t.Hosts
	if hosts == nil {
		hosts = graphHosts
	}
	if !named(hosts, u) {
		return &HostError{Host: u.Host}
	}
	return nil
}

// named reports whether one of the hosts is the host of u.
func named(hosts []string, u *url.URL) bool {
	name := u.Hostname()
	port := u.Port()
	if port == "" {
		port = "443"
	}
	withPort := net.JoinHostPort(name, port)
	for _, host := range hosts {
		if strings.EqualFold(host, name) || strings.EqualFold(host, withPort) {
			return name != ""
		}
	}
	return false
}

// Loopback reports whether a host, as [url.URL.Hostname] returns it, is this machine:
// localhost or a loopback address. A request to such a host passes no
// network, so it needs no TLS (RFC 8252, section 8.3).
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// authorized returns req with the token and the body. A RoundTripper must not change the
// request that it was given.
func authorized(req *http.Request, body io.ReadCloser, token tokencache.AccessToken) *http.Request {
	r := req.Clone(req.Context())
	r.Body = body
	r.Header.Set("Authorization", "Bearer "+token.Secret.Reveal())
	return r
}

// redirectedAway reports whether req follows a redirect that left the first host, at any
// step.
func redirectedAway(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if r.Response.Request.URL.Host != req.URL.Host {
			return true
		}
	}
	return false
}

// The most that discard reads of a refused response, and the longest time that it waits.
const (
	maxDiscard     = 64 << 10
	discardTimeout = 250 * time.Millisecond
)

// discard reads a refused response to its end if it is short, so that its connection can
// be used again. If a server doesn't finish the response in time, the connection is
// closed.
func discard(resp *http.Response) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
	}()
	timer := time.NewTimer(discardTimeout)
	defer timer.Stop()
	select {
	case <-read:
	case <-timer.C:
	}
	_ = resp.Body.Close()
}

func closeBody(body io.ReadCloser) {
	if body != nil {
		_ = body.Close()
	}
}

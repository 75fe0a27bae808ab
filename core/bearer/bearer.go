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

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// TokenSource is what a Transport needs of a [core.TokenSource].
type TokenSource interface {
	Token(ctx context.Context, opts ...core.TokenOption) (tokencache.AccessToken, error)
}

// Transport is an [http.RoundTripper] that attaches the source's token to each
// request. After a 401 it asks the source for another token, passing on the
// claims challenge if there is one, and tries once more, provided that the
// body can be sent again: there is none, or the request has GetBody.
//
// A token is sent over https alone, or to a loopback address, and is not
// attached after a redirect to another host: Graph redirects downloads to
// addresses that carry their own authorization and refuse a second one.
//
// A Transport is safe for concurrent use if its source and base are.
type Transport struct {
	Source TokenSource
	Base   http.RoundTripper // http.DefaultTransport if nil
}

// ErrInsecure is returned for a request that would carry the token in the
// clear (RFC 6750 section 5.3).
var ErrInsecure = errors.New("bearer: a token is not sent over plain http")

// RoundTrip implements [http.RoundTripper]. Errors of the source end it as
// they are; the request was not sent then, or was answered with 401.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if redirectedAway(req) {
		return base.RoundTrip(req)
	}
	if !secure(req.URL) {
		closeBody(req)
		return nil, ErrInsecure
	}
	token, err := t.Source.Token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := base.RoundTrip(authorized(req, req.Body, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again, ok := replay(req)
	if !ok {
		return resp, nil
	}
	fresh, err := t.Source.Token(req.Context(), core.Rejected(token.Secret), core.Claims(claimsChallenge(resp.Header)))
	if err == nil && fresh.Secret != token.Secret {
		discard(resp)
		return base.RoundTrip(authorized(req, again, fresh))
	}
	if again != nil {
		_ = again.Close()
	}
	if err != nil {
		discard(resp)
		return nil, fmt.Errorf("bearer: the token was refused (401): %w", err)
	}
	return resp, nil
}

// authorized is req with the token and body. A RoundTripper must not change
// the request it was given.
func authorized(req *http.Request, body io.ReadCloser, token tokencache.AccessToken) *http.Request {
	r := req.Clone(req.Context())
	r.Body = body
	r.Header.Set("Authorization", "Bearer "+token.Secret.Reveal())
	return r
}

// replay returns the body to send again; ok is false if it can't be had.
func replay(req *http.Request) (body io.ReadCloser, ok bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	return body, err == nil
}

// redirectedAway reports whether req follows a redirect that left the host the
// chain of redirects began with, at any step.
func redirectedAway(req *http.Request) bool {
	for r := req; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if r.Response.Request.URL.Host != req.URL.Host {
			return true
		}
	}
	return false
}

func secure(u *url.URL) bool {
	if u.Scheme == "https" || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// discard reads the little there is of a refused response, so that its
// connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

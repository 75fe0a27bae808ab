package oauth2

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"golang.org/x/oauth2"
)

// Error is the provider's refusal of a refresh (RFC 6749 section 5.2), or an answer that
// is neither a refusal nor tokens. It wraps [core.ErrReauthRequired] if the user has to
// sign in again, and an *oauth2.RetrieveError of golang.org/x/oauth2. Its texts are the
// provider's, made fit for a log and a terminal. Secrets that the provider may quote are
// removed.
type Error struct {
	URL         string // the address that was asked, without the query
	Status      int    // the HTTP status
	Code        string // "invalid_grant"; "" if the answer was no OAuth error
	Description string // for people, in one line
	URI         string // of a page about the error; "" for none

	retryAfter time.Duration
	refused    *oauth2.RetrieveError
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the provider (%s) answered %d", e.URL, e.Status)
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Description != "" {
		b.WriteString(": " + e.Description)
	}
	if e.URI != "" {
		b.WriteString(" (" + e.URI + ")")
	}
	return b.String()
}

// Unwrap returns golang.org/x/oauth2's error, and core.ErrReauthRequired if the user has
// to sign in again.
func (e *Error) Unwrap() []error {
	all := []error{e.refused}
	if refusesToken(e.Code) {
		all = append(all, core.ErrReauthRequired)
	}
	return all
}

// RetryAfter is how long the provider asks its client to wait, by the Retry-After header
// of a status 429 or 503 (RFC 9110 section 10.2.3): an hour at most, and 0 if the
// provider doesn't say.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// FailureScope returns whom the refusal concerns: see [core.FailureScope].
func (e *Error) FailureScope() core.FailureScope {
	switch {
	case e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError:
		return core.FailureOfProvider
	case refusesToken(e.Code):
		return core.FailureOfUser
	}
	switch e.Code {
	case "invalid_scope", "invalid_request", "invalid_target", "unsupported_grant_type":
		return core.FailureOfRequest
	}
	// The client is refused, the provider is overloaded, or the answer is no OAuth error:
	// a gateway's page, or a redirect.
	return core.FailureOfProvider
}

// refusesToken reports whether an error code refuses the refresh token: RFC 6749's code,
// GitHub's
// (https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens),
// and those of OpenID Connect for a user who has to be present (Core section 3.1.2.6).
func refusesToken(code string) bool {
	switch code {
	case "invalid_grant", "bad_refresh_token", "interaction_required", "login_required", "consent_required":
		return true
	}
	return false
}

// refusal returns golang.org/x/oauth2's error in a form that can be shown.
func (x *exchange) refusal(from *oauth2.RetrieveError) *Error {
	e := &Error{
		Status: from.Response.StatusCode, Code: x.shown(from.ErrorCode),
		Description: x.shown(from.ErrorDescription), URI: x.shown(from.ErrorURI),
	}
	if req := from.Response.Request; req != nil && req.URL != nil {
		e.URL = x.shown(address(req.URL))
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		e.retryAfter = bearer.RetryAfter(from.Response.Header, time.Now())
	}
	if e.Code == "" && e.Status >= 300 && e.Status < 400 {
		e.Description = "a redirect, which a request for tokens doesn't follow"
	}
	e.refused = x.retrieveError(from, e)
	return e
}

// retrieveError is the refusal for programs that look for golang.org/x/oauth2's error,
// with those parts of the answer that may be shown.
func (x *exchange) retrieveError(from *oauth2.RetrieveError, e *Error) *oauth2.RetrieveError {
	header := make(http.Header, len(from.Response.Header))
	for name, values := range from.Response.Header {
		for _, value := range values {
			header.Add(core.Printable(name), x.shown(value))
		}
	}
	header.Del("Set-Cookie")
	body, _ := json.Marshal(map[string]string{"error": e.Code, "error_description": e.Description, "error_uri": e.URI}) // a map of texts: never fails
	return &oauth2.RetrieveError{
		Response:  &http.Response{Status: x.shown(from.Response.Status), StatusCode: e.Status, Header: header, Body: http.NoBody},
		Body:      body,
		ErrorCode: e.Code, ErrorDescription: e.Description, ErrorURI: e.URI,
	}
}

func address(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// errorCode is the OAuth error of an answer; "" if it has none.
func errorCode(resp *http.Response, body []byte) string {
	switch kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded", "text/plain":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return ""
		}
		return form.Get("error")
	}
	var m struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	return m.Error
}

// scopedError is an error of the adapter itself, with its scope.
type scopedError struct {
	err   error
	scope core.FailureScope
}

func (e *scopedError) Error() string                   { return e.err.Error() }
func (e *scopedError) Unwrap() error                   { return e.err }
func (e *scopedError) FailureScope() core.FailureScope { return e.scope }

// shownError is an error whose text can be shown.
type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }

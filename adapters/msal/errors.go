package msal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
)

// Error is the identity provider's refusal (RFC 6749 section 5.2), or an answer that is
// neither a refusal nor tokens. It wraps [core.ErrReauthRequired] if the user has to sign
// in again, and MSAL Go's CallErr. Its texts are the provider's, made fit for a log and a
// terminal. Secrets that the provider may quote are removed.
type Error struct {
	URL           string // the address that was asked, without the query
	Status        int    // the HTTP status; 0 if the answer came by redirect
	Code          string // "invalid_grant"; "" if the answer was no OAuth error
	Suberror      string // Microsoft's refinement, such as "consent_required"
	Description   string // for people, in one line
	Claims        string // the demand of a claims challenge, as JSON, for the next sign-in
	CorrelationID string // the request's name for Microsoft's support

	discovery  bool     // it answers a request for a discovery document, so no grant is refused
	codes      []string // Microsoft's numbers for the refusal, the digits after "AADSTS"
	retryAfter time.Duration
	call       *msalerrors.CallErr
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("the provider")
	if e.URL != "" {
		fmt.Fprintf(&b, " (%s)", e.URL)
	}
	b.WriteString(" answered")
	if e.Status != 0 {
		fmt.Fprintf(&b, " %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Description != "" {
		b.WriteString(": " + e.Description)
	}
	return withRemedy(b.String(), e.Remedy())
}

// Unwrap returns core.ErrReauthRequired, if signing in again helps, and MSAL Go's error,
// if there is one.
func (e *Error) Unwrap() []error {
	var all []error
	if needsUser(e.Code) && !e.discovery {
		all = append(all, core.ErrReauthRequired)
	}
	if e.call != nil {
		all = append(all, *e.call)
	}
	return all
}

// RetryAfter is how long the provider asks its client to wait, by the Retry-After header
// of a status 429 or 503 (RFC 9110 section 10.2.3): an hour at most, as in MSAL Python,
// and 0 if the provider doesn't say.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// FailureScope returns whom the refusal concerns: see [core.FailureScope].
func (e *Error) FailureScope() core.FailureScope {
	if e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError || e.discovery && needsUser(e.Code) {
		return core.FailureOfProvider
	}
	switch e.Code {
	case "invalid_grant":
		if e.isAboutTheRequest() {
			return core.FailureOfRequest
		}
		return core.FailureOfUser
	case "invalid_client", "unauthorized_client", "temporarily_unavailable", "server_error", "slow_down",
		"invalid_instance", // the authority's host is none that Microsoft knows
		"":                 // no OAuth error: a gateway's page, a redirect, an answer without tokens
		return core.FailureOfProvider
	}
	return core.FailureOfRequest
}

// isAboutTheRequest reports whether an invalid_grant refuses this request alone, and
// leaves the refresh token good for others. Microsoft says so by the suberror, by claims
// for the next sign-in, or by a number.
func (e *Error) isAboutTheRequest() bool {
	switch e.Suberror {
	case "bad_token", "token_expired", "client_mismatch", "user_password_expired":
		return false
	case "consent_required", "basic_action", "additional_action", "message_only", "protection_policy_required":
		return true
	}
	return e.Claims != "" || slices.ContainsFunc(e.numbers(), func(number string) bool { return requestNumbers[number] })
}

// numbers are Microsoft's numbers for the refusal.
func (e *Error) numbers() []string {
	numbers := e.codes
	for _, found := range numberPattern.FindAllStringSubmatch(e.Description, -1) {
		numbers = append(slices.Clip(numbers), found[1])
	}
	return numbers
}

var numberPattern = regexp.MustCompile(`AADSTS(\d+)`)

// requestNumbers are those that come with invalid_grant and concern the resource, its
// scopes, consent to them, or what the user has to do for them.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var requestNumbers = map[string]bool{
	"50005": true, "53000": true, "53001": true, "53002": true, "53003": true, "530032": true, "50097": true, "50131": true, // conditional access, devices
	"50072": true, "50074": true, "50076": true, "50079": true, "50158": true, "70043": true, "70044": true, // a second factor, how often to sign in
	"50105": true, "65001": true, "65004": true, "65005": true, "90094": true, // assignment, consent
	"28002": true, "28003": true, "70011": true, "500011": true, "650052": true, "650053": true, "650056": true, // scopes and resources
}

// Refusal returns the error in a redirect back to the application (RFC 6749 section
// 4.1.2.1), and nil if there is none.
func Refusal(redirect url.Values) error {
	code := redirect.Get("error")
	if code == "" {
		return nil
	}
	return &Error{
		Code:        core.Printable(code),
		Suberror:    core.Printable(redirect.Get("error_subcode")),
		Description: core.Printable(redirect.Get("error_description")),
	}
}

// needsUser reports whether signing in helps after a refusal (RFC 6749 section 5.2,
// OpenID Connect Core section 3.1.2.6).
func needsUser(code string) bool {
	switch code {
	case "invalid_grant", "interaction_required", "login_required", "consent_required":
		return true
	}
	return false
}

// explain turns MSAL's error into one that can be shown. MSAL puts the whole answer into
// its text, with the tokens if only a part of the answer was wrong, and the request into
// its verbose text.
func (x *exchange) explain(op string, err error) error {
	var (
		refused *Error
		ours    *fault
		call    msalerrors.CallErr
		invalid msalerrors.InvalidJsonErr
		network *url.Error
	)
	switch {
	case errors.As(err, &refused):
		err = refused
	case errors.As(err, &ours):
		err = ours
	case errors.Is(err, core.ErrLeaseLost):
		err = core.ErrLeaseLost
	case errors.As(err, &call):
		err = x.refusalOf(call)
	case errors.As(err, &invalid):
		err = providerFault(errors.New("the provider's discovery document isn't valid JSON"))
	case errors.As(err, &network): // without MSAL's line breaks around it
		err = &shownError{x.shown(network.Error()), network}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		err = &shownError{x.shown(err.Error()), err}
	default:
		err = errors.New(x.shown(err.Error()))
	}
	return fmt.Errorf("msal: %s: %w", op, err)
}

// shownError is an error of the network whose text can be shown. Without that it may
// contain a proxy's text.
type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }

// refusalOf returns the refusal of a discovery request, which MSAL saw first.
func (x *exchange) refusalOf(call msalerrors.CallErr) *Error {
	if call.Resp == nil {
		return &Error{Description: x.shown(call.Error())}
	}
	body, _ := io.ReadAll(call.Resp.Body) // it is in memory
	m, isJSON := parseMessage(body)
	if call.Resp.Request == nil {
		call.Resp.Request = call.Req
	}
	e := x.refusal(call.Resp, m, isJSON)
	e.discovery = true
	return e
}

// refusal has the members that Microsoft's error responses have in common:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#error-response-1
func (x *exchange) refusal(resp *http.Response, m message, isJSON bool) *Error {
	x.conceal(m.AccessToken, m.RefreshToken, m.IDToken)
	e := &Error{
		Status: resp.StatusCode, Code: x.shown(m.Error), Suberror: x.shown(m.Suberror), Description: x.shown(m.Description),
		Claims: plainJSON(x.redact(m.Claims)), CorrelationID: x.shown(m.CorrelationID),
		codes: numbersOf(m.ErrorCodes), retryAfter: retryAfter(resp),
	}
	if resp.Request != nil && resp.Request.URL != nil {
		e.URL = x.shown(address(resp.Request.URL))
	}
	if e.Code == "" && e.Description == "" {
		e.Description = x.shown(misanswer(resp, isJSON))
	}
	e.call = x.callErr(resp, e)
	return e
}

// misanswer tells what is wrong with an answer that is neither tokens nor an OAuth error;
// "" if its status tells all.
func misanswer(resp *http.Response, isJSON bool) string {
	switch status := resp.StatusCode; {
	case status >= 300 && status < 400:
		target, err := resp.Location()
		if err != nil {
			return "a redirect, which a request for tokens doesn't follow"
		}
		return "a redirect to " + target.Scheme + "://" + target.Host + ", which a request for tokens doesn't follow"
	case status >= 300:
		return ""
	case isJSON:
		return "there is no access token in the answer"
	}
	return "the answer is not the JSON it should be"
}

// callErr is the refusal for programs that look for MSAL Go's error, with those parts of
// request and response that may be shown.
func (x *exchange) callErr(resp *http.Response, e *Error) *msalerrors.CallErr {
	body, _ := json.Marshal(map[string]string{ // of strings: never fails
		"error": e.Code, "suberror": e.Suberror, "error_description": e.Description,
		"claims": e.Claims, "correlation_id": e.CorrelationID,
	})
	req := &http.Request{}
	if resp.Request != nil {
		req.Method, req.URL = resp.Request.Method, resp.Request.URL
	}
	header := make(http.Header, len(resp.Header))
	for name, values := range resp.Header {
		for _, value := range values {
			header.Add(core.Printable(name), x.shown(value))
		}
	}
	header.Del("Set-Cookie")
	return &msalerrors.CallErr{
		Req:  req,
		Resp: &http.Response{Status: x.shown(resp.Status), StatusCode: e.Status, Header: header, Body: io.NopCloser(bytes.NewReader(body))},
		Err:  errors.New(e.Error()),
	}
}

// plainJSON returns a JSON text in ASCII without white space between its parts, which
// changes nothing in it; "" if the text is no JSON.
func plainJSON(text string) string {
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) != nil {
		return ""
	}
	var b strings.Builder
	for _, r := range compact.String() { // beyond ASCII there are only strings
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// numbersOf reads error_codes.
func numbersOf(value json.RawMessage) []string {
	var elements []json.RawMessage
	if json.Unmarshal(value, &elements) != nil {
		return nil
	}
	var numbers []string
	for _, element := range elements {
		numbers = append(numbers, core.Printable(textOf(element)))
	}
	return numbers
}

// retryAfter reads the Retry-After header of a status that has one.
func retryAfter(resp *http.Response) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	return bearer.RetryAfter(resp.Header, time.Now())
}

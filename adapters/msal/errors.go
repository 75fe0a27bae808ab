package msal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/graphtoken/graphtoken/core"
)

// Error is the identity provider's refusal (RFC 6749 section 5.2). It wraps
// [core.ErrReauthRequired] where the user must sign in again, and MSAL Go's
// CallErr, without the request's body and with the secrets struck out that
// the response may quote.
type Error struct {
	URL           string // what was asked, without the query
	Status        int    // the HTTP status; 0 where the answer came by redirect
	Code          string // "invalid_grant"; "" where the answer was no OAuth error
	Suberror      string // Microsoft's refinement, such as "consent_required"
	Description   string // for people, in one line
	Claims        string // what a claims challenge demands, for the next sign-in
	CorrelationID string // names the request to Microsoft's support

	reauth bool
	call   *msalerrors.CallErr
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
	return b.String()
}

// Unwrap returns core.ErrReauthRequired, where signing in again is the remedy,
// and MSAL Go's error, where there is one.
func (e *Error) Unwrap() []error {
	var all []error
	if e.reauth {
		all = append(all, core.ErrReauthRequired)
	}
	if e.call != nil {
		all = append(all, *e.call)
	}
	return all
}

// Refusal returns the error that a redirect back to the application carries
// (RFC 6749 section 4.1.2.1), and nil where it carries none.
func Refusal(redirect url.Values) error {
	code := redirect.Get("error")
	if code == "" {
		return nil
	}
	return &Error{
		Code:        oneLine(code),
		Suberror:    oneLine(redirect.Get("error_subcode")),
		Description: oneLine(redirect.Get("error_description")),
		reauth:      needsUser(code),
	}
}

// needsUser reports whether a refusal can be mended by signing in (RFC 6749
// section 5.2, OpenID Connect Core section 3.1.2.6).
func needsUser(code string) bool {
	switch code {
	case "invalid_grant", "interaction_required", "login_required", "consent_required":
		return true
	}
	return false
}

// explain turns MSAL's error into one that can be shown: MSAL puts the whole
// answer into its text, with the tokens in it where only a part of the answer
// was wrong, and the request into its verbose text.
func (x *exchange) explain(op string, err error) error {
	var (
		call    msalerrors.CallErr
		invalid msalerrors.InvalidJsonErr
		network *url.Error
	)
	switch {
	case errors.As(err, &call):
		err = x.refusal(call)
	case errors.As(err, &invalid):
		err = errors.New("the provider's answer is not the JSON it should be")
	case errors.As(err, &network):
		err = network // without MSAL's line breaks around it
	}
	return fmt.Errorf("msal: %s: %w", op, err)
}

// refusal is what Microsoft's error responses have in common:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#error-response-1
func (x *exchange) refusal(call msalerrors.CallErr) *Error {
	e := &Error{}
	var body []byte
	if call.Resp != nil {
		e.Status = call.Resp.StatusCode
		body, _ = io.ReadAll(call.Resp.Body) // it is in memory
	}
	var said struct {
		Error         string `json:"error"`
		Suberror      string `json:"suberror"`
		Description   string `json:"error_description"`
		Claims        string `json:"claims"`
		CorrelationID string `json:"correlation_id"`
	}
	if json.Unmarshal(body, &said) == nil {
		e.Code, e.Suberror = oneLine(x.redact(said.Error)), oneLine(x.redact(said.Suberror))
		e.Description = oneLine(x.redact(said.Description))
		e.Claims, e.CorrelationID = x.redact(said.Claims), oneLine(x.redact(said.CorrelationID))
	}
	if call.Req != nil && call.Req.URL != nil {
		e.URL = (&url.URL{Scheme: call.Req.URL.Scheme, Host: call.Req.URL.Host, Path: call.Req.URL.Path}).String()
	}
	e.reauth = needsUser(e.Code)
	e.call = &msalerrors.CallErr{
		Req:  &http.Request{},
		Resp: &http.Response{StatusCode: e.Status, Body: io.NopCloser(bytes.NewReader([]byte(x.redact(string(body)))))},
		Err:  errors.New(e.Error()),
	}
	if call.Req != nil {
		e.call.Req.Method, e.call.Req.URL = call.Req.Method, call.Req.URL
	}
	if call.Resp != nil {
		e.call.Resp.Status, e.call.Resp.Header = call.Resp.Status, call.Resp.Header
	}
	return e
}

// oneLine makes a stranger's text fit for a log and a terminal.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

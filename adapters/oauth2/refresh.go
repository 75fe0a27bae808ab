package oauth2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"golang.org/x/oauth2"
)

// Refresh is a [core.RefreshFunc] for any provider. It sends the refresh token of the
// client's user to the config's token endpoint, by the HTTP client of ctx
// (oauth2.HTTPClient). Afterwards the refresh token to send next is in cache, whether or
// not the provider issued another. Members of an earlier answer that this one doesn't
// have stay.
//
// A token without an expiry is replaced only if r.Force is set, for example because a
// resource refused it. A claims challenge is not passed on, because golang.org/x/oauth2
// sends none.
//
// If there is no refresh token, or the provider refuses it, Refresh returns
// [core.ErrReauthRequired]. If the record's lease was lost before the request could be
// sent, it returns [core.ErrLeaseLost]. A refusal is an [*Error], which has a
// FailureScope.
func (c *Client) Refresh(ctx context.Context, cache *tokencache.Cache, r core.Refresh) error {
	if err := c.check(r.Query); err != nil {
		return err
	}
	last, there := cache.AccessToken(c.query)
	earlier := readExtra(last)
	if there && earlier.Endless && !r.Force {
		return c.fileAnew(cache, last)
	}
	spent, ok := cache.RefreshToken(c.query)
	if !ok {
		return &scopedError{fmt.Errorf("oauth2: refresh: %w: there is no refresh token of client %s at %s",
			core.ErrReauthRequired, core.Printable(c.query.ClientID), core.Printable(c.query.Environment)), core.FailureOfUser}
	}
	x := &exchange{base: clientOf(ctx), leaseHeld: r.LeaseHeld, secrets: secretsOf(spent.Secret.Reveal(), c.config().ClientSecret)}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, x.client())
	t, err := c.config().TokenSource(ctx, &oauth2.Token{RefreshToken: spent.Secret.Reveal()}).Token()
	if err != nil {
		return x.explain(err)
	}
	if t.RefreshToken == spent.Secret.Reveal() {
		t.RefreshToken = "" // the provider issued no other, so the present one stays
	}
	if err := cache.Put(c.response(t, x.sent, "refresh_token", earlier)); err != nil {
		return &scopedError{fmt.Errorf("oauth2: refresh: %w", err), core.FailureOfUser} // the refresh token is spent
	}
	return nil
}

// check refuses a query that the client's tokens can't fit.
func (c *Client) check(q tokencache.Query) error {
	differ := func(want, have string) bool { return want != "" && !strings.EqualFold(want, have) }
	if q.App || q.Username != "" || len(q.Scopes) > 0 || differ(q.Tenant, realm) || differ(q.ClientID, c.query.ClientID) ||
		differ(q.HomeAccountID, c.query.HomeAccountID) || differ(q.Environment, c.query.Environment) {
		return errors.New("oauth2: refresh: the query doesn't fit the client's tokens; use Client.Query")
	}
	return nil
}

// fileAnew gives a token without an expiry another year in the record.
func (c *Client) fileAnew(cache *tokencache.Cache, last tokencache.AccessToken) error {
	r := c.response(tokenOf(last), time.Now(), "refresh_token", extra{})
	if err := cache.Put(r); err != nil {
		return fmt.Errorf("oauth2: refresh: %w", err)
	}
	return nil
}

// exchange is the HTTP client for one refresh.
type exchange struct {
	base      *http.Client
	leaseHeld func() bool
	secrets   []string // that were sent

	sent   time.Time // when the last request was sent
	answer *answer   // the answer to it
}

// answer is how a request ended.
type answer struct {
	resp *http.Response
	body []byte
	err  error
}

// client returns the HTTP client for golang.org/x/oauth2. It follows no redirect, because
// the request is for the token endpoint alone.
func (x *exchange) client() *http.Client {
	c := *x.base
	c.Transport = x
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// RoundTrip implements [http.RoundTripper]. If golang.org/x/oauth2 has to find out where
// the provider wants the client's credentials (AuthStyleAutoDetect), it sends a request a
// second time with the credentials in the form, whatever was wrong with the first. With a
// single-use refresh token that is safe only if the first was refused because of the
// credentials.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if x.answer != nil && !x.answer.isAboutTheClient() {
		closeBody(req)
		return x.answer.again(req)
	}
	if !x.leaseHeld() {
		closeBody(req)
		return nil, core.ErrLeaseLost // another process may have spent the refresh token
	}
	x.sent = time.Now() // a token's lifetime counts from here
	base := x.base.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	x.answer = receive(base.RoundTrip(req))
	return x.answer.again(req)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// maxAnswer limits what is read of an answer, as golang.org/x/oauth2 does.
const maxAnswer = 1 << 20

func receive(resp *http.Response, err error) *answer {
	if err != nil {
		return &answer{err: err}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_ = resp.Body.Close() // it is read, or the error says why not
	return &answer{resp, body, err}
}

// again returns the answer, so that it can be read once more.
func (a *answer) again(req *http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	resp := *a.resp
	resp.Request = req
	resp.Body = io.NopCloser(bytes.NewReader(a.body))
	return &resp, nil
}

// isAboutTheClient reports an answer that may have come because the client's credentials
// were in the wrong place, and that left the refresh token unused.
func (a *answer) isAboutTheClient() bool {
	if a.err != nil {
		return false
	}
	switch a.resp.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return !refusesToken(errorCode(a.resp, a.body))
	case http.StatusOK: // for example GitHub's, with an error in it
		code := errorCode(a.resp, a.body)
		return code != "" && !refusesToken(code)
	}
	return false
}

// secretsOf returns the texts that no error may show, in the form in which they are sent.
func secretsOf(secrets ...string) (all []string) {
	for _, s := range secrets {
		if s != "" {
			all = append(all, s, url.QueryEscape(s))
		}
	}
	return all
}

// shown makes a text fit to be shown that is the provider's, or contains parts of one.
// Characters that Printable removes may have been put into a secret, to hide it.
func (x *exchange) shown(text string) string { return x.redact(core.Printable(x.redact(text))) }

func (x *exchange) redact(text string) string {
	for _, secret := range x.secrets {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	return text
}

// explain turns an error of golang.org/x/oauth2 into one that can be shown and has a
// scope.
func (x *exchange) explain(err error) error {
	var refused *oauth2.RetrieveError
	var network *url.Error
	switch {
	case errors.Is(err, core.ErrLeaseLost):
		return core.ErrLeaseLost
	case errors.As(err, &refused) && refused.Response != nil:
		err = x.refusal(refused)
	case errors.As(err, &network):
		err = &shownError{x.shown(network.Error()), network}
	default: // an answer that is cut off, or without tokens
		err = &scopedError{&shownError{x.shown(err.Error()), err}, core.FailureOfProvider}
	}
	return fmt.Errorf("oauth2: refresh: %w", err)
}

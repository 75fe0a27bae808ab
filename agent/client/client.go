// Package client asks a graphtoken agent for access tokens. The agent is a process of the
// same user: it keeps the refresh tokens, refreshes once per expiry for all callers, and
// hands out access tokens alone.
//
//	agent, err := client.FromEnvironment() // GRAPHTOKEN_AGENT names the agent's socket
//	if err != nil {
//		return err
//	}
//	token, err := agent.Token(ctx, client.Request{Scopes: []string{"User.Read"}})
//	if err != nil {
//		return err
//	}
//	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
//
// A token that the agent has is answered in some 100 µs, so that a program needs no cache
// of its own. The package needs the standard library alone. Packages adapters/azcore and
// adapters/oauth2 make an azcore.TokenCredential and an oauth2.TokenSource of a Client.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// SocketVariable is the environment variable that names the agent's Unix socket.
const SocketVariable = "GRAPHTOKEN_AGENT"

// ErrNoAgent says that the environment names no agent.
var ErrNoAgent = errors.New(SocketVariable + " is not set: there is no agent to ask; start one with \"graphtoken agent\", or run the program by \"graphtoken exec\"")

// Client asks one agent. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// New returns the client of the agent whose Unix socket has this path. It does no I/O.
func New(socket string) *Client {
	dialer := new(net.Dialer)
	return &Client{socket, &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// FromEnvironment returns the client of the agent that GRAPHTOKEN_AGENT names, and
// ErrNoAgent if it is not set.
func FromEnvironment() (*Client, error) {
	if socket := os.Getenv(SocketVariable); socket != "" {
		return New(socket), nil
	}
	return nil, ErrNoAgent
}

// Request is what is asked for. The zero value asks for the agent's only user, with the
// scopes that the agent was started for.
type Request struct {
	User        string        // the agent's name for the user; may be empty if it has one user
	Scopes      []string      // such as User.Read, or https://vault.azure.net/.default
	MinValidity time.Duration // how long the token must be valid, at least
	Claims      string        // a claims challenge, as JSON
}

// Token is an access token. Its JSON is that of "az account get-access-token" and of
// "graphtoken token --format json"; it never prints itself.
type Token struct {
	AccessToken string
	Type        string // "Bearer"
	ExpiresOn   time.Time
	Tenant      string // as the sign-in named it: an ID, a domain, or "common"
	User        string
	Scopes      []string
}

// azureTime is how the Azure CLI writes expiresOn: local time, without a zone.
const azureTime = "2006-01-02 15:04:05.000000"

type tokenJSON struct {
	AccessToken string   `json:"accessToken"`
	ExpiresOn   string   `json:"expiresOn"`
	Seconds     int64    `json:"expires_on"`
	Scopes      []string `json:"scopes,omitempty"`
	Tenant      string   `json:"tenant,omitempty"`
	TokenType   string   `json:"tokenType"`
	User        string   `json:"user,omitempty"`
}

// MarshalJSON writes the token itself, too.
func (t Token) MarshalJSON() ([]byte, error) {
	return json.Marshal(tokenJSON{t.AccessToken, t.ExpiresOn.Local().Format(azureTime), t.ExpiresOn.Unix(), t.Scopes, t.Tenant, t.Type, t.User})
}

// UnmarshalJSON reads what MarshalJSON wrote. Its errors don't quote the data.
func (t *Token) UnmarshalJSON(data []byte) error {
	var j tokenJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return errors.New("the agent's answer isn't a token")
	}
	*t = Token{j.AccessToken, j.TokenType, time.Unix(j.Seconds, 0), j.Tenant, j.User, j.Scopes}
	return nil
}

// Format prints everything but the token, whatever the verb.
func (t Token) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "access token of %q for %q, valid until %s", t.User, t.Scopes, t.ExpiresOn.Format(time.RFC3339))
}

// Error is an answer of the agent that is no token.
type Error struct {
	Code       string        // says what to do: one of the Code constants
	Message    string        // for people
	RetryAfter time.Duration // how long to wait before the next request; zero if the agent doesn't say
}

func (e *Error) Error() string { return "graphtoken agent: " + e.Message + " (" + e.Code + ")" }

// ReauthRequired reports whether the user must sign in again.
func (e *Error) ReauthRequired() bool { return e.Code == CodeSignIn }

// The codes of an Error.
const (
	CodeSignIn       = "sign_in_required"     // the user must sign in again
	CodeAmbiguous    = "ambiguous_user"       // name one of the agent's users
	CodeUnknownUser  = "unknown_user"         // the agent has no user of that name
	CodeForbidden    = "forbidden"            // the agent hands out no token with these scopes
	CodeProvider     = "provider_unreachable" // the identity provider doesn't answer; try later
	CodeStore        = "store_unreachable"    // the store of the tokens doesn't answer; try later
	CodeTimeout      = "timeout"              // no token was obtained in time; try later
	CodeRateLimit    = "rate_limited"         // this caller asked for too many refreshes
	CodeBadRequest   = "bad_request"          // the request can't be understood
	CodeUnauthorized = "unauthorized"         // the caller sent no secret, or is a web page
	CodeFailed       = "failed"               // anything else; the message says what
)

// Token asks for a token. If the agent refuses, the error is an *Error. If no agent can
// be reached at the socket, it wraps the error of package net.
func (c *Client) Token(ctx context.Context, r Request) (Token, error) {
	query := url.Values{}
	for name, value := range map[string]string{"user": r.User, "scope": strings.Join(r.Scopes, " "), "claims": r.Claims} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if r.MinValidity > 0 {
		query.Set("min_validity", r.MinValidity.String())
	}
	body, err := c.ask(ctx, http.MethodGet, "/token?"+query.Encode())
	if err != nil {
		return Token{}, err
	}
	var t Token
	if err := json.Unmarshal(body, &t); err != nil {
		return Token{}, fmt.Errorf("graphtoken agent at %s: %w", c.socket, err)
	}
	return t, nil
}

// Ping returns nil if an agent answers at the socket. Its errors are those of Token.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.ask(ctx, http.MethodGet, "/healthz")
	return err
}

// Stop ends the agent. An agent without agent.Options.Stop goes on, and answers
// CodeBadRequest. The errors are those of Token.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.ask(ctx, http.MethodPost, "/stop")
	return err
}

// ask sends a request without a body, and returns what the agent answers.
func (c *Client) ask(ctx context.Context, method, what string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+what, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("graphtoken agent at %s: %w", c.socket, unwrapURL(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("graphtoken agent at %s: %w", c.socket, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errorOf(resp, body)
	}
	return body, nil
}

// AccessToken is Token in the form that adapters/azcore and adapters/oauth2 need. It asks
// for the agent's only user.
func (c *Client) AccessToken(ctx context.Context, scopes []string, claims string) (string, time.Time, error) {
	t, err := c.Token(ctx, Request{Scopes: scopes, Claims: claims})
	return t.AccessToken, t.ExpiresOn, err
}

// maxAnswer is more than the largest token there is.
const maxAnswer = 1 << 20

// unwrapURL drops the URL that package http puts before an error: it names no host that
// there is, and the query names a user.
func unwrapURL(err error) error {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}

func errorOf(resp *http.Response, body []byte) error {
	var answer struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error.Code == "" {
		return &Error{Code: CodeFailed, Message: "the answer is " + resp.Status + ", and not an agent's"}
	}
	e := &Error{Code: answer.Error.Code, Message: answer.Error.Message}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

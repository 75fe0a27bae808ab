// Package msalgo uses MSAL Go as another program would: it knows only the record, which
// is a file, and holds no lock.
package msalgo

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
)

// Peer says whose tokens are meant, and where they are. The workers of all
// languages find it, as JSON, in the variable PEER.
type Peer struct {
	Address      string   `json:"address"` // every host name leads there
	CA           string   `json:"ca"`      // a file
	Record       string   `json:"record"`  // a file
	Client       string   `json:"client"`
	Confidential string   `json:"confidential"`
	Secret       string   `json:"secret"`
	Authority    string   `json:"authority"`
	User         string   `json:"user"`
	Scopes       []string `json:"scopes"`

	Place  map[string]string `json:"place,omitempty"`  // instead of Record, for python-o365: what it is told of its token backend
	Fernet string            `json:"fernet,omitempty"` // python-o365's key, if it encrypts
}

// Command is one line of a worker's standard input.
type Command struct {
	Do string `json:"do"` // restart, redeem, silent, refresh, accounts, sign out, application, on behalf; python-o365: restart, reload, wait, sign in, refresh, look

	Code      string `json:"code,omitempty"` // of redeem, as are the next two
	Redirect  string `json:"redirect,omitempty"`
	Verifier  string `json:"verifier,omitempty"`
	Assertion string `json:"assertion,omitempty"` // of on behalf: the user's token for Peer.Confidential
	Claims    string `json:"claims,omitempty"`    // of redeem and application: the client's own, to which the token is bound; Java's and Node's alone
	Variable  string `json:"variable,omitempty"`  // a process that is started now has it; for python-o365 in an environment variable
}

// Answer is one line of a worker's standard output.
type Answer struct {
	Token    string   `json:"token,omitempty"`
	Accounts []string `json:"accounts,omitempty"`
	Found    string   `json:"found,omitempty"`    // python-o365: the token that was there before a refresh
	Variable string   `json:"variable,omitempty"` // python-o365: what became of Command.Variable
	Error    string   `json:"error,omitempty"`
}

// Work does what the commands say until there are no more.
func Work(ctx context.Context, commands io.Reader, answers io.Writer) error {
	w := &worker{}
	if err := json.Unmarshal([]byte(os.Getenv("PEER")), &w.Peer); err != nil {
		return fmt.Errorf("PEER: %w", err)
	}
	ca, err := os.ReadFile(w.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	w.http = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.Address)
		},
	}}
	if err := w.restart(); err != nil {
		return err
	}
	lines := bufio.NewScanner(commands)
	for lines.Scan() {
		var c Command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		answer, err := w.do(ctx, c)
		if err != nil {
			answer = Answer{Error: err.Error()}
		}
		if err := json.NewEncoder(answers).Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

type worker struct {
	Peer
	http *http.Client
	app  public.Client
}

func (w *worker) restart() (err error) {
	w.app, err = public.New(w.Client, public.WithAuthority(w.Authority), public.WithHTTPClient(w.http), public.WithCache(file(w.Record)))
	return err
}

func (w *worker) do(ctx context.Context, c Command) (Answer, error) {
	switch c.Do {
	case "restart":
		return Answer{}, w.restart()
	case "redeem":
		result, err := w.app.AcquireTokenByAuthCode(ctx, c.Code, c.Redirect, w.Scopes, public.WithChallenge(c.Verifier))
		return Answer{Token: result.AccessToken}, err
	case "silent":
		return w.silent(ctx)
	case "refresh":
		return w.silent(ctx, public.WithClaims("{}")) // MSAL Go has no other way to force a refresh
	case "accounts":
		var answer Answer
		accounts, err := w.app.Accounts(ctx)
		for _, a := range accounts {
			answer.Accounts = append(answer.Accounts, a.PreferredUsername)
		}
		return answer, err
	case "sign out":
		account, err := w.account(ctx)
		if err != nil {
			return Answer{}, err
		}
		return Answer{}, w.app.RemoveAccount(ctx, account)
	case "application":
		return w.application(ctx)
	case "on behalf":
		app, err := w.service()
		if err != nil {
			return Answer{}, err
		}
		result, err := app.AcquireTokenOnBehalfOf(ctx, c.Assertion, w.Scopes)
		return Answer{Token: result.AccessToken}, err
	}
	return Answer{}, fmt.Errorf("there is no command %q", c.Do)
}

func (w *worker) account(ctx context.Context) (public.Account, error) {
	accounts, err := w.app.Accounts(ctx)
	if err != nil {
		return public.Account{}, err
	}
	for _, a := range accounts {
		if a.PreferredUsername == w.User {
			return a, nil // of several with one home account
		}
	}
	return public.Account{}, fmt.Errorf("no account is %s's", w.User)
}

func (w *worker) silent(ctx context.Context, options ...public.AcquireSilentOption) (Answer, error) {
	account, err := w.account(ctx)
	if err != nil {
		return Answer{}, err
	}
	result, err := w.app.AcquireTokenSilent(ctx, w.Scopes, append(options, public.WithSilentAccount(account))...)
	return Answer{Token: result.AccessToken}, err
}

func (w *worker) service() (confidential.Client, error) {
	credential, err := confidential.NewCredFromSecret(w.Secret)
	if err != nil {
		return confidential.Client{}, err
	}
	return confidential.New(w.Authority, w.Confidential, credential, confidential.WithHTTPClient(w.http), confidential.WithCache(file(w.Record)))
}

func (w *worker) application(ctx context.Context) (Answer, error) {
	app, err := w.service()
	if err != nil {
		return Answer{}, err
	}
	// Unlike the other libraries, MSAL Go reads the cache only when it is asked to.
	scopes := []string{"https://graph.microsoft.com/.default"}
	if result, err := app.AcquireTokenSilent(ctx, scopes); err == nil {
		return Answer{Token: result.AccessToken}, nil
	}
	result, err := app.AcquireTokenByCredential(ctx, scopes)
	return Answer{Token: result.AccessToken}, err
}

// file is the cache accessor that MSAL Go's users write by hand.
type file string

// Replace reads the record.
func (f file) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Unmarshal(data)
}

// Export writes the record.
func (f file) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(string(f), data, 0o600)
}

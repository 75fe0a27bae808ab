//go:build cgo

package sdk

// The SDK's library for Linux wants libm, and its own package doesn't say so
// ("undefined reference to pow"). No symbol of Go's asks for libm, hence the flags
// around it.

// #cgo linux LDFLAGS: -Wl,--no-as-needed -lm -Wl,--as-needed
import "C"

import (
	"cmp"
	"context"
	"fmt"
	"os"

	official "github.com/bitwarden/sdk-go"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/bitwarden/internal/said"
	"github.com/graphtoken/graphtoken/core/backend"
)

// LoginOptions says where to log in. The zero value is Bitwarden's cloud in the United
// States, without a state file.
type LoginOptions struct {
	// APIURL and IdentityURL are the servers, https://api.bitwarden.com and
	// https://identity.bitwarden.com where empty.
	APIURL, IdentityURL string

	// StateFile is where the SDK keeps a login, encrypted with the access token, so that
	// a program that starts often doesn't log in each time, which Bitwarden answers with
	// 429. It is made if it isn't there. Each access token needs a file of its own.
	// Empty: none.
	StateFile string
}

// The servers of Bitwarden's cloud in the United States.
const (
	defaultAPIURL      = "https://api.bitwarden.com"
	defaultIdentityURL = "https://identity.bitwarden.com"
)

// Client is the SDK's client, logged in. It is safe for concurrent use, and makes one
// call after the other (see bitwarden.FromSDK).
type Client struct {
	bitwarden.Secrets
	runner *runner
}

// Login logs in with a machine account's access token, unless the state file has a login
// that is still good. The client renews it before it expires.
//
// Login returns when ctx is done; a request under way goes on behind, since the SDK can't
// be interrupted. Errors are the SDK's, which are all texts, without the secrets in them.
func Login(ctx context.Context, accessToken string, o LoginOptions) (*Client, error) {
	c, err := login(ctx, accessToken, o)
	if err != nil {
		return nil, origin.Fail("login", "", err)
	}
	return c, nil
}

// origin names the backend in errors, as package bitwarden does.
const origin backend.Origin = "bitwarden"

func login(ctx context.Context, accessToken string, o LoginOptions) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var stateFile *string
	if o.StateFile != "" {
		if err := touch(o.StateFile); err != nil {
			return nil, fmt.Errorf("the state file: %w", err)
		}
		stateFile = &o.StateFile
	}
	apiURL, identityURL := cmp.Or(o.APIURL, defaultAPIURL), cmp.Or(o.IdentityURL, defaultIdentityURL)
	client, err := official.NewBitwardenClient(&apiURL, &identityURL)
	if err != nil {
		return nil, err
	}
	logIn := func() error { return client.AccessTokenLogin(accessToken, stateFile) }
	r := &runner{
		runner: client.Secrets().(*official.Secrets).CommandRunner,
		logIns: []func() error{logIn},
		free:   client.Close,
	}
	if stateFile != nil {
		// The first takes what another process may have left in the file by now. If
		// that is refused too, nobody shall take it again.
		r.logIns = append(r.logIns, func() error {
			if err := os.Truncate(*stateFile, 0); err != nil {
				return err
			}
			return logIn()
		})
	}
	done := make(chan error, 1)
	go func() { done <- r.run(logIn) }()
	select {
	case err = <-done:
		err = said.SDKError(err, accessToken)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return &Client{Secrets: bitwarden.FromSDK(official.NewSecrets(r)), runner: r}, nil
}

// touch makes the state file where there is none, for its owner alone: the SDK would make
// it readable for everybody, and wouldn't say that it couldn't.
func touch(stateFile string) error {
	f, err := os.OpenFile(stateFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close ends the client. A call under way goes on; the SDK's memory is freed behind it.
// Later calls answer os.ErrClosed.
func (c *Client) Close() error {
	c.runner.close()
	return nil
}

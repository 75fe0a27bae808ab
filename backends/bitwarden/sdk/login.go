//go:build cgo

package sdk

// The SDK's library for Linux needs libm, and its own package doesn't say so ("undefined
// reference to pow"). Go itself doesn't need libm, so the linker would leave it out
// without the flags around it.

// #cgo linux LDFLAGS: -Wl,--no-as-needed -lm -Wl,--as-needed
import "C"

import (
	"cmp"
	"context"
	"fmt"
	"os"

	official "github.com/bitwarden/sdk-go"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
)

// LoginOptions says where to log in. The zero value is for Bitwarden's cloud in the
// United States, without a state file.
type LoginOptions struct {
	// APIURL and IdentityURL are the servers, https://api.bitwarden.com and
	// https://identity.bitwarden.com if empty.
	APIURL, IdentityURL string

	// StateFile is the file in which the SDK stores a login, encrypted with the access
	// token, so that a program that starts often doesn't log in each time: after too many
	// logins Bitwarden answers 429. It is created if it doesn't exist. Use one file for
	// each access token. Empty means no file.
	StateFile string
}

// Client is the SDK's client, logged in. It is safe for concurrent use, and makes one
// call after the other (see bitwarden.FromSDK).
type Client struct {
	bitwarden.Secrets
	runner *runner
}

// Login logs in with a machine account's access token, or uses the login in the state
// file if that is still valid. The client renews it before it expires.
//
// Login returns when ctx is done; a request that is running continues in the background,
// since the SDK can't be interrupted. Errors are the SDK's texts, without the secrets in
// them.
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
	apiURL, identityURL := cmp.Or(o.APIURL, bitwardenclient.DefaultAPIURL), cmp.Or(o.IdentityURL, bitwardenclient.DefaultIdentityURL)
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
		// The first one uses what another process may have left in the file by now. If
		// that login is refused too, the file is emptied, so that nobody uses it again.
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
		err = bitwardenclient.SDKError(err, accessToken)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return &Client{Secrets: bitwarden.FromSDK(official.NewSecrets(r)), runner: r}, nil
}

// touch creates the state file if it doesn't exist, so that only its owner can read it:
// the SDK would make it readable for everybody, and wouldn't report an error.
func touch(stateFile string) error {
	f, err := os.OpenFile(stateFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close ends the client. A call that is running continues, and the SDK's memory is freed
// after it. Later calls return os.ErrClosed.
func (c *Client) Close() error {
	c.runner.close()
	return nil
}

package bitwarden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/graphtoken/graphtoken/backends/bitwarden/internal/said"
	"github.com/graphtoken/graphtoken/core"
)

// SDK has the methods that [FromSDK] uses of the Secrets of github.com/bitwarden/sdk-go.
// The SDK's versions differ in the types of their answers: S is the answer about a
// secret, I the list, D the answer to a deletion.
type SDK[S, I, D any] interface {
	Get(id string) (S, error)
	List(organizationID string) (I, error)
	Create(key, value, note, organizationID string, projectIDs []string) (S, error)
	Update(id, key, value, note, organizationID string, projectIDs []string) (S, error)
	Delete(ids []string) (D, error)
}

// FromSDK returns Secrets over the official SDK's client. The client has logged in with
// AccessTokenLogin, and the caller closes it:
//
//	secrets := bitwarden.FromSDK(client.Secrets())
//
// The SDK's calls take no context. If the context ends, FromSDK's call returns, and the
// SDK's call continues in the background. The SDK's calls are made one after the other,
// since it doesn't promise to be safe for concurrent use. Neither the SDK nor FromSDK
// retries.
//
// The SDK's errors are texts; errors.As finds them. They are shown without control
// characters and without anything that looks like a credential. A text that begins like
// the server's 404 is core.ErrNotFound, and one about cryptography is core.ErrDecrypt.
func FromSDK[S, I, D any](sdk SDK[S, I, D]) Secrets {
	if origin.Require(sdk) != nil {
		return nil // New refuses it
	}
	return &official[S, I, D]{sdk: sdk, busy: make(chan struct{}, 1)}
}

type official[S, I, D any] struct {
	sdk  SDK[S, I, D]
	busy chan struct{} // full during a call
}

// Format prints the client without the SDK's content.
func (o *official[S, I, D]) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[official bitwarden client]")
}

func (o *official[S, I, D]) Get(ctx context.Context, id string) (Secret, error) {
	s, err := sdkCall[Secret](ctx, o.busy, func() (S, error) { return o.sdk.Get(id) })
	return about(id, s, orSDKAbsent(err))
}

func (o *official[S, I, D]) List(ctx context.Context, organizationID string) ([]Identifier, error) {
	if organizationID == "" {
		return nil, errOrganizationID
	}
	answer, err := sdkCall[struct{ Data []Identifier }](ctx, o.busy, func() (I, error) { return o.sdk.List(organizationID) })
	return answer.Data, err
}

func (o *official[S, I, D]) Create(ctx context.Context, s Secret) (Secret, error) {
	if s.OrganizationID == "" {
		return Secret{}, errOrganizationID
	}
	if err := checkText(s); err != nil {
		return Secret{}, err
	}
	return sdkCall[Secret](ctx, o.busy, func() (S, error) {
		return o.sdk.Create(s.Key, s.Value.Reveal(), s.Note.Reveal(), s.OrganizationID, projects(s))
	})
}

func (o *official[S, I, D]) Update(ctx context.Context, s Secret) (Secret, error) {
	if err := checkText(s); err != nil {
		return Secret{}, err
	}
	updated, err := sdkCall[Secret](ctx, o.busy, func() (S, error) {
		return o.sdk.Update(s.ID, s.Key, s.Value.Reveal(), s.Note.Reveal(), s.OrganizationID, projects(s))
	})
	if updated, err = about(s.ID, updated, orSDKAbsent(err)); err != nil {
		return Secret{}, err
	}
	s.RevisionDate = updated.RevisionDate
	return s, nil
}

func (o *official[S, I, D]) Delete(ctx context.Context, id string) error {
	answer, err := sdkCall[deletion](ctx, o.busy, func() (D, error) { return o.sdk.Delete([]string{id}) })
	if err != nil {
		return orSDKAbsent(err)
	}
	return answer.refusal()
}

var errOrganizationID = errors.New("the official SDK doesn't know the account's organization: set Options.OrganizationID")

// sdkCall makes one call of the SDK and reads its answer as an A. When ctx ends it
// returns at once; the next call waits until the SDK's call has ended.
func sdkCall[A, R any](ctx context.Context, busy chan struct{}, call func() (R, error)) (A, error) {
	var none A
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case busy <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	type result struct {
		answer A
		err    error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-busy }()
		var r result
		answer, err := call()
		if err == nil {
			r.err = convert(answer, &r.answer)
		} else {
			r.err = orSDKDecrypt(said.SDKError(err))
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// convert reads an SDK's answer through JSON, which is the same in all its versions, and
// has the names of Secret's and Identifier's fields, apart from their case.
func convert(answer, to any) error {
	text, err := json.Marshal(answer)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return said.Unreadable("the SDK's", err)
	}
	return nil
}

// Texts of the SDK's errors. A 404 that isn't JSON doesn't come from Bitwarden.
const (
	sdkAbsent = "Received error message from server: [404 Not Found] {"
	sdkCrypto = "Cryptography error, "
)

func orSDKAbsent(err error) error {
	if err != nil && strings.Contains(err.Error(), sdkAbsent) {
		return fmt.Errorf("%w: %w", core.ErrNotFound, err)
	}
	return err
}

func orSDKDecrypt(err error) error {
	if strings.Contains(err.Error(), sdkCrypto) {
		return fmt.Errorf("%w: %w", core.ErrDecrypt, err)
	}
	return err
}

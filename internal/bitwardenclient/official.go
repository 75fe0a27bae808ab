package bitwardenclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// SDK has the methods of bitwarden.SDK: those that FromSDK uses of the official SDK.
type SDK[S, I, D any] interface {
	Get(id string) (S, error)
	List(organizationID string) (I, error)
	Create(key, value, note, organizationID string, projectIDs []string) (S, error)
	Update(id, key, value, note, organizationID string, projectIDs []string) (S, error)
	Delete(ids []string) (D, error)
}

// FromSDK returns a client over the official SDK's, which isn't nil. It is
// bitwarden.FromSDK, which says what the client does.
func FromSDK[S, I, D any](sdk SDK[S, I, D]) Secrets { return &official[S, I, D]{sdk} }

// official is the client over the official SDK's.
type official[S, I, D any] struct{ sdk SDK[S, I, D] }

// Format prints the client without the SDK's content.
func (o *official[S, I, D]) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[official bitwarden client]")
}

func (o *official[S, I, D]) Get(ctx context.Context, id string) (Secret, error) {
	s, err := sdkCall[Secret](ctx, o, func() (S, error) { return o.sdk.Get(id) })
	return s, orSDKAbsent(err)
}

func (o *official[S, I, D]) List(ctx context.Context, organizationID string) ([]Identifier, error) {
	if organizationID == "" {
		return nil, errOrganizationID
	}
	answer, err := sdkCall[struct{ Data []Identifier }](ctx, o, func() (I, error) { return o.sdk.List(organizationID) })
	return answer.Data, err
}

func (o *official[S, I, D]) Create(ctx context.Context, s Secret) (Secret, error) {
	if s.OrganizationID == "" {
		return Secret{}, errOrganizationID
	}
	return sdkCall[Secret](ctx, o, func() (S, error) {
		return o.sdk.Create(s.Key, s.Value.Reveal(), s.Note.Reveal(), s.OrganizationID, projects(s))
	})
}

func (o *official[S, I, D]) Update(ctx context.Context, s Secret) (Secret, error) {
	answer, err := sdkCall[Secret](ctx, o, func() (S, error) {
		return o.sdk.Update(s.ID, s.Key, s.Value.Reveal(), s.Note.Reveal(), s.OrganizationID, projects(s))
	})
	// If ctx is done, the SDK's call may still read s. Its answer has no project.
	updated := s
	updated.ID, updated.RevisionDate = answer.ID, answer.RevisionDate
	return updated, orSDKAbsent(err)
}

func (o *official[S, I, D]) Delete(ctx context.Context, id string) error {
	answer, err := sdkCall[deletion](ctx, o, func() (D, error) { return o.sdk.Delete([]string{id}) })
	if err != nil {
		return orSDKAbsent(err)
	}
	return answer.refusal()
}

var errOrganizationID = errors.New("the official SDK doesn't know the account's organization: set Options.OrganizationID")

// sdkCall makes one call of the client's SDK and reads its answer as an A. When ctx ends
// it returns at once; the next call waits until the SDK's call has ended.
func sdkCall[A, R any](ctx context.Context, client Secrets, call func() (R, error)) (A, error) {
	var none A
	if err := ctx.Err(); err != nil {
		return none, err
	}
	ended, err := backend.Turn(ctx, client, 1)
	if err != nil {
		return none, err
	}
	type result struct {
		answer A
		err    error
	}
	done := make(chan result, 1)
	go func() {
		defer ended()
		var r result
		answer, err := call()
		if err == nil {
			r.err = convert(answer, &r.answer)
		} else {
			r.err = orSDKDecrypt(SDKError(err))
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
		return unreadable("the SDK's", err)
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

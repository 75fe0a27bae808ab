package bitwardenclient_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

func fromSDK() (*bitwardentest.SDK, bitwardenclient.Secrets) {
	sdk := bitwardentest.NewSDK()
	var secrets bitwardentest.SDKSecretsInterface = sdk // which is what the SDK's client returns
	return sdk, bitwardenclient.FromSDK(secrets)
}

func TestTheSDKsErrorsAreClassified(t *testing.T) {
	sdk, secrets := fromSDK()
	missing := "77777777-0000-4000-8000-000000000000"
	for what, call := range map[string]func() error{
		"Get":    func() error { _, err := secrets.Get(t.Context(), missing); return err },
		"Update": func() error { _, err := secrets.Update(t.Context(), bitwardenclient.Secret{ID: missing}); return err },
		"Delete": func() error { return secrets.Delete(t.Context(), missing) },
	} {
		if err := call(); !errors.Is(err, core.ErrNotFound) || !errors.Is(err, bitwardentest.ErrSDKNotFound) {
			t.Errorf("%s of what isn't there = %v", what, err)
		}
	}
	denied := sdk.Put(missing, "bo", "", bitwardentest.NotDeletable, bitwardentest.SDKOrganization, nil).ID
	if err := secrets.Delete(t.Context(), denied); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("Delete of what isn't ours to delete = %v", err)
	}

	for text, want := range map[string]error{
		"API error: Cryptography error, The cipher's MAC doesn't match the expected value":                                        core.ErrDecrypt,
		`API error: Received error message from server: [500 Internal Server Error] {"message":"An error has occurred."}`:         nil,
		`API error: Received error message from server: [429 Too Many Requests] {"message":"[404 Not Found] isn't what this is"}`: nil,
		`API error: Received error message from server: [404 Not Found] 404 page not found`:                                       nil,
	} {
		sdk.Err = errors.New(text)
		_, err := secrets.Get(t.Context(), missing)
		if !errors.Is(err, sdk.Err) || errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrDecrypt) != (want != nil) {
			t.Errorf("Get = %v, want %v", err, want)
		}
	}
	sdk.Err = bitwardentest.ErrSDKNotFound
	if _, err := secrets.List(t.Context(), bitwardentest.SDKOrganization); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("List of an organization that isn't the account's = %v", err)
	}
	if _, err := secrets.Create(t.Context(), bitwardenclient.Secret{OrganizationID: bitwardentest.SDKOrganization}); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Create without the right to = %v", err)
	}
	sdk.Err = nil
	if created, err := secrets.Create(t.Context(), bitwardenclient.Secret{Key: "bo"}); err == nil {
		t.Errorf("Create without an organization = %+v", created)
	}
}

func TestACallerMayLeaveACallOfTheSDK(t *testing.T) { synctest.Test(t, leavingACallOfTheSDK) }

func leavingACallOfTheSDK(t *testing.T) {
	sdk, secrets := fromSDK()
	id := sdk.Put("66666666-0000-4000-8000-000000000000", "ana", "{}", "", bitwardentest.SDKOrganization, nil).ID
	sdk.Block = make(chan struct{})
	leave := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := secrets.Get(ctx, id); done <- err }()
		synctest.Wait()
		cancel()
		return <-done
	}
	for _, what := range []string{"during the call", "while another's is going on"} {
		if err := leave(); !errors.Is(err, context.Canceled) {
			t.Errorf("Get left %s = %v", what, err)
		}
	}
	if text := fmt.Sprintf("%+v %s", secrets, secrets); text != "[official bitwarden client] [official bitwarden client]" {
		t.Errorf("the client is printed as %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	close(sdk.Block)
	if _, err := secrets.Get(t.Context(), id); err != nil {
		t.Errorf("Get after that = %v", err)
	}
	calls := sdk.Calls()
	for range 20 {
		if _, err := secrets.Get(ctx, id); !errors.Is(err, context.Canceled) {
			t.Errorf("Get with a context that is done = %v", err)
		}
		synctest.Wait()
	}
	if after := sdk.Calls(); after != calls || calls != 2 {
		t.Errorf("the SDK was called %d times, and then %d; want 2", calls, after)
	}
	if sdk.Overlaps() != 0 {
		t.Errorf("%d calls overlapped", sdk.Overlaps())
	}
}

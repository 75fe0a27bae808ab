package bitwarden_test

import (
	"errors"
	"testing"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

func fromSDK() (*bitwardentest.SDK, bitwarden.Secrets) {
	sdk := bitwardentest.NewSDK()
	var secrets bitwardentest.SDKSecretsInterface = sdk // which is what the SDK's client returns
	return sdk, bitwarden.FromSDK(secrets)
}

func TestTheSDKsSecretsAreABackend(t *testing.T) {
	sdk, secrets := fromSDK()
	b, err := bitwarden.New(secrets, bitwarden.Options{OrganizationID: bitwardentest.SDKOrganization, ProjectID: bitwardentest.SDKProject})
	if err != nil {
		t.Fatal(err)
	}
	// Of the same name, and in another project, which the SDK's list doesn't say.
	sdk.Put("99999999-0000-4000-8000-000000000000", "ana", `"theirs"`, "", bitwardentest.SDKOrganization, nil)
	if ok, err := b.Check(t.Context(), "ana"); ok || err != nil {
		t.Errorf("Check = %v, %v", ok, err)
	}
	v := mustSave(t, b, "ana", `"1"`, core.Absent)
	if loaded := mustLoad(t, b, "ana", `"1"`); loaded != v {
		t.Errorf("Save answered version %s, Load %s", v, loaded)
	}
	next := mustSave(t, b, "ana", `"2"`, v)
	if loaded := mustLoad(t, b, "ana", `"2"`); loaded != next || next == v {
		t.Errorf("Save answered version %s after %s, Load %s", next, v, loaded)
	}
	if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("{}"), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("a stale Save = %v", err)
	}
	sdk.Put("88888888-0000-4000-8000-000000000000", "bo", `"theirs"`, "", bitwardentest.SDKOrganization, nil)
	wantKeys(t, b, "ana")
	if err := b.Delete(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, b)
	if err := b.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}

	for _, o := range []bitwarden.Options{{}, {ProjectID: bitwardentest.SDKProject}} {
		b, err := bitwarden.New(secrets, o)
		if err != nil {
			t.Fatal(err)
		}
		mustLoad(t, b, "99999999-0000-4000-8000-000000000000", `"theirs"`)
		if _, err := b.Load(t.Context(), "ana"); err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load of a name without an organization = %v", err)
		}
		if err := b.Ping(t.Context()); err == nil {
			t.Errorf("Ping without an organization = nil")
		}
	}
	if sdk.Overlaps() != 0 {
		t.Errorf("%d calls overlapped", sdk.Overlaps())
	}
}

func TestFromSDKOfAnUnsetSDKIsNil(t *testing.T) {
	if bitwarden.FromSDK(bitwardentest.SDKSecretsInterface(nil)) != nil {
		t.Error("FromSDK makes something of nothing")
	}
}

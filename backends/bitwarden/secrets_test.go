package bitwarden_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

func TestTextThatIsNotUTF8IsRefusedBeforeItIsSent(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	_, official := fromSDK()
	for client, secrets := range map[string]bitwarden.Secrets{"of Login": logIn(t, s, inProcess(s)), "of FromSDK": official} {
		for what, secret := range map[string]bitwarden.Secret{
			"name": {Key: "\xff"}, "value": {Value: "hunter2\xff"}, "note": {Note: "\xff"},
		} {
			secret.ID, secret.OrganizationID = bitwardentest.SDKProject, bitwardentest.SDKOrganization
			_, create := secrets.Create(t.Context(), secret)
			_, update := secrets.Update(t.Context(), secret)
			for op, err := range map[string]error{"Create": create, "Update": update} {
				if err == nil || err.Error() != "the secret's "+what+" is not UTF-8" {
					t.Errorf("%s by the client %s with a %s that is not UTF-8 = %v", op, client, what, err)
				}
			}
		}
	}
}

func TestAnAnswerAboutAnotherSecretIsRefused(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	secrets := logIn(t, s, inProcess(s))
	b, err := bitwarden.New(secrets, bitwarden.Options{ProjectID: s.Project()})
	if err != nil {
		t.Fatal(err)
	}
	ana := s.Add(bitwardentest.Secret{Key: "ana", Value: "ana's", Project: s.Project()})
	mustLoad(t, b, ana, "ana's")
	bob := s.Add(bitwardentest.Secret{Key: "bob", Value: "bob's", Project: s.Project()})
	answer := func(id string) bitwardentest.Fault {
		body, _ := json.Marshal(map[string]any{
			"id": id, "key": s.Encrypt("bob"), "value": s.Encrypt("bob's"), "note": s.Encrypt(""), "revisionDate": "2026-01-02T03:04:05Z",
			"projects": []map[string]string{{"id": s.Project()}},
		})
		return bitwardentest.Fault{Status: 200, Body: string(body)}
	}
	for _, id := range []string{bob, "", "../ana"} {
		s.Inject(bitwardentest.Get, answer(id))
		if rec, err := b.Load(t.Context(), ana); err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load of ana, answered with the secret %q: %q, %v", id, []byte(rec.Data), err)
		}
		s.Inject(bitwardentest.Update, answer(id))
		if _, err := secrets.Update(t.Context(), bitwarden.Secret{ID: ana, Key: "ana", Value: "x"}); err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Update of ana, answered with the secret %q: %v", id, err)
		}
	}
	s.Inject(bitwardentest.Get, answer(strings.ToUpper(ana)))
	if _, err := b.Load(t.Context(), ana); err != nil {
		t.Errorf("Load, answered with the id in upper case: %v", err)
	}

	sdk, official := fromSDK()
	sdk.PutUnder(ana, *sdk.Put("", "bo", "x", "", bitwardentest.SDKOrganization, nil))
	if got, err := official.Get(t.Context(), ana); err == nil {
		t.Errorf("the official SDK's answer about another secret: %+v", got)
	}
	sdk.AnswerID = "../ana"
	if got, err := official.Update(t.Context(), bitwarden.Secret{ID: ana, Key: "ana", Value: "x"}); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("the official SDK's answer about an update of another secret: %+v", got)
	}
}

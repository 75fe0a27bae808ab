package account_test

import (
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestASecretIsTrimmedOrItsFaultIsNamed(t *testing.T) {
	for what, row := range map[string]struct {
		text string
		want string // of the error; "" where the secret is found
	}{
		"as it is":                         {"s3cret~-_.x", ""},
		"a line end behind it":             {"s3cret~-_.x\n", ""},
		"a Windows line end behind it":     {"s3cret~-_.x\r\n", ""},
		"blanks around it":                 {" \ts3cret~-_.x \u00a0", ""},
		"a byte order mark in front of it": {"\ufeffs3cret~-_.x\r\n", ""},
		"UTF-16, little end first":         {"\xff\xfes\x003\x00", "UTF-16"},
		"UTF-16, big end first":            {"\xfe\xff\x00s\x003", "UTF-16"},
		"UTF-16 without a mark":            {"s\x003\x00c\x00", "UTF-16"},
		"two lines":                        {"s3cret\nother", "U+000A at byte 6"},
		"an invisible character in it":     {"s3\u200bcret", "U+200B at byte 2"},
		"bytes that are no text":           {"s3\xe9cret", "U+FFFD at byte 2"},
		"nothing but a line end":           {"\n", "blank"},
	} {
		t.Run(what, func(t *testing.T) {
			secret, err := account.ParseSecret(row.text)
			switch {
			case row.want == "" && (err != nil || secret.Reveal() != "s3cret~-_.x"):
				t.Errorf("the secret has %d bytes: %v", len(secret), err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
				t.Errorf("the error is %v, want one about %s", err, row.want)
			case err != nil && strings.Contains(err.Error(), "s3"):
				t.Errorf("the secret shows: %v", err)
			}
			// The account says the same, before it asks anybody.
			_, err = account.New(core.NewStore(newBackend(t)), key, account.Config{ClientID: "app", Credential: account.Secret(row.text)})
			if (err == nil) != (row.want == "") {
				t.Errorf("New says %v", err)
			}
		})
	}
}

func TestASecretWithALineEndSignsIn(t *testing.T) {
	idp, b := start(t), newBackend(t)
	a := newAccount(t, idp, b, account.Config{
		ClientID: entra.ConfidentialClient, Credential: account.Secret("\ufeff" + entra.ConfidentialSecret + "\r\n"), Tenant: entra.Tenant, App: true,
	})
	if err := a.Authenticate(t.Context(), nil, account.AuthOptions{}); err != nil {
		t.Error(err)
	}
}

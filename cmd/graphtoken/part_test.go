package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// partial has tokens of Ana and Bo. The clients cli and portal are of one family, whose
// refresh token cli has.
const partial = `{
"AccessToken":{
	"1":{"home_account_id":"ana.t","environment":"login.windows.net","client_id":"cli","secret":"ana-cli"},
	"2":{"home_account_id":"ana.t","environment":"login.microsoftonline.com","client_id":"mail","secret":"ana-mail"},
	"3":{"home_account_id":"bo.t","environment":"login.windows.net","client_id":"cli","secret":"bo-cli"},
	"4":{"home_account_id":null,"environment":"login.windows.net","client_id":"mail","secret":"mail-itself"},
	"5":null},
"RefreshToken":{"6":{"home_account_id":"ana.t","environment":"login.windows.net","client_id":"cli","family_id":"1","secret":"ana-family"}},
"IdToken":{"7":{"home_account_id":"ana.t","environment":"login.windows.net","client_id":"mail","secret":"ana-id"}},
"Account":{
	"8":{"home_account_id":"ana.t","environment":"login.windows.net","realm":"t","username":"ana@contoso.com"},
	"9":{"home_account_id":"bo.t","environment":"login.windows.net","realm":"t","username":"bo@contoso.com"}},
"AppMetadata":{
	"10":{"client_id":"cli","environment":"login.windows.net","family_id":"1"},
	"11":{"client_id":"portal","environment":"login.windows.net","family_id":"1"},
	"12":{"client_id":"mail","environment":"login.windows.net","family_id":""}},
"Unknown":{"x":"of-nobody-knows-whom"}}`

func TestAPartOfARecordHasTheTokensOfItsUserAndClient(t *testing.T) {
	every := []string{"ana-cli", "ana-mail", "bo-cli", "mail-itself", "ana-family", "ana-id", "ana@contoso.com", "bo@contoso.com", "of-nobody-knows-whom"}
	for _, c := range []struct {
		sentence string
		of       tokencache.Query
		has      []string
	}{
		{"nobody is named: the whole record", tokencache.Query{}, every},
		{"a user", tokencache.Query{Username: "ANA@contoso.com"}, []string{"ana-cli", "ana-mail", "ana-family", "ana-id", "ana@contoso.com"}},
		{"a user's client without a family", tokencache.Query{Username: "ana@contoso.com", ClientID: "MAIL"}, []string{"ana-mail", "ana-id", "ana@contoso.com"}},
		{"a client that uses its family's token", tokencache.Query{Username: "ana@contoso.com", ClientID: "portal"}, []string{"ana-family", "ana@contoso.com"}},
		{"a client of several users", tokencache.Query{ClientID: "cli"}, []string{"ana-cli", "ana-family", "bo-cli", "ana@contoso.com", "bo@contoso.com"}},
		{"an application itself", tokencache.Query{App: true}, []string{"mail-itself"}},
	} {
		cache, err := tokencache.Parse([]byte(partial))
		if err != nil {
			t.Fatal(err)
		}
		its, err := part(cache, c.of)
		if err != nil {
			t.Errorf("%s: %v", c.sentence, err)
			continue
		}
		data, err := its.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range every {
			want := false
			for _, h := range c.has {
				want = want || h == text
			}
			if has := strings.Contains(string(data), `"`+text+`"`); has != want {
				t.Errorf("%s: it has %s: %t", c.sentence, text, has)
			}
		}
	}
}

func TestAPartThatNobodyHasIsNotFound(t *testing.T) {
	cache, err := tokencache.Parse([]byte(partial))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []tokencache.Query{{Username: "zoe@contoso.com"}, {ClientID: "unknown"}, {Username: "bo@contoso.com", ClientID: "mail"}} {
		if its, err := part(cache, q); !errors.Is(err, core.ErrNotFound) || its != nil {
			t.Errorf("%+v: %v, %v", q, its, err)
		}
	}
}

func TestAnInterruptEndsTheWaitForTheStandardInput(t *testing.T) {
	silence, writer := io.Pipe()
	defer writer.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if data, err := readInput(ctx, silence); !errors.Is(err, context.Canceled) || data != nil {
		t.Errorf("it read %d bytes, %v", len(data), err)
	}
}

package oauth2

import (
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"reflect"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"golang.org/x/oauth2"
)

// A record has one access token, one refresh token, one ID token and one account of a
// client, whatever the provider answers: each replaces the one before. So all members
// that would tell tokens apart are the same for all. The scopes and the token type of the
// answer are in the access token's Extra, and restored from there.

// realm takes the place of a tenant. It is one of the words for the user's own.
const realm = "common"

// aYear is the longest lifetime that a record has for a token.
const aYear = 365 * 24 * time.Hour

// response is a token in the form in which it is stored. Members of an earlier answer
// stay if t has none.
func (c *Client) response(t *oauth2.Token, sent time.Time, grant string, earlier extra) tokencache.TokenResponse {
	e := extraOf(t).withMissingFrom(earlier)
	r := tokencache.TokenResponse{
		AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, Extra: e.text(),
		ClientID: c.query.ClientID, Environment: c.query.Environment, HomeAccountID: c.query.HomeAccountID, Tenant: realm,
		GrantType: grant, Sent: sent,
	}
	switch left := math.Round(time.Until(t.Expiry).Seconds()); {
	case t.Expiry.IsZero():
		r.ExpiresIn = int(aYear / time.Second)
	case left <= 0:
		r.ExpiresIn = -1
	default:
		r.ExpiresIn = int(min(left, aYear.Seconds()))
	}
	r.IDToken, _ = t.Extra("id_token").(string)
	if r.IDToken != "" && tokencache.New().Put(r) != nil {
		r.IDToken = "" // it can't be read; it is in Extra all the same
	}
	return r
}

// tokenOf returns a record's token in the form of golang.org/x/oauth2.
func tokenOf(at tokencache.AccessToken) *oauth2.Token {
	e := readExtra(at)
	t := &oauth2.Token{AccessToken: at.Secret.Reveal(), TokenType: e.TokenType, Expiry: at.ExpiresOn}
	if e.Endless {
		t.Expiry = time.Time{}
	}
	if e.Form != nil {
		return t.WithExtra(e.Form)
	}
	members := make(map[string]any, len(e.Members))
	for name, value := range e.Members {
		var v any
		if json.Unmarshal(value, &v) == nil {
			members[name] = v
		}
	}
	return t.WithExtra(members)
}

// extra has the members of a provider's answer besides its tokens and their lifetime. It
// is written into the access token's Extra as JSON.
type extra struct {
	TokenType string `json:"token_type,omitempty"`
	// Endless: the answer had no expires_in. For golang.org/x/oauth2 such a token never
	// expires. In the record it expires after a year, and is then stored again.
	Endless bool `json:"endless,omitempty"`
	// The members of a JSON answer, or the form of an answer that was no JSON.
	Members map[string]json.RawMessage `json:"members,omitempty"`
	Form    url.Values                 `json:"form,omitempty"`
}

// extraOf returns a token's further members.
func extraOf(t *oauth2.Token) extra {
	e := extra{TokenType: t.TokenType, Endless: t.Expiry.IsZero()}
	raw := rawOf(t)
	switch {
	case raw.Kind() != reflect.Map || raw.Type().Key().Kind() != reflect.String:
	case raw.Type() == reflect.TypeFor[url.Values]():
		e.Form = formOf(raw)
	default:
		e.Members = membersOf(t, raw)
	}
	return e
}

// membersOf returns the members of a JSON answer as JSON.
func membersOf(t *oauth2.Token, raw reflect.Value) map[string]json.RawMessage {
	members := make(map[string]json.RawMessage)
	for _, key := range raw.MapKeys() {
		name := key.String()
		if hasOwnPlace(name) {
			continue
		}
		if text, err := json.Marshal(t.Extra(name)); err == nil {
			members[name] = text
		}
	}
	return members
}

// formOf returns the first value of each field of a form. Token.Extra would turn texts into
// numbers.
func formOf(raw reflect.Value) url.Values {
	form := make(url.Values)
	for _, key := range raw.MapKeys() {
		if values := raw.MapIndex(key); values.Len() > 0 && !hasOwnPlace(key.String()) {
			form.Set(key.String(), values.Index(0).String())
		}
	}
	return form
}

// hasOwnPlace reports a member that has an entry of its own in the record.
func hasOwnPlace(member string) bool { return member == "access_token" || member == "refresh_token" }

// rawOf returns the answer of which a token was made: a map, by the names of the members,
// or the zero Value. golang.org/x/oauth2 has no method that lists them, so the field is
// read by reflection. If the field were renamed, members would be lost and a test would
// fail.
func rawOf(t *oauth2.Token) reflect.Value {
	raw := reflect.ValueOf(t).Elem().FieldByName("raw")
	if raw.Kind() == reflect.Interface {
		raw = raw.Elem()
	}
	return raw
}

// withMissingFrom returns e together with those members of an earlier answer that e doesn't
// have.
func (e extra) withMissingFrom(earlier extra) extra {
	if len(earlier.Members) > 0 && len(e.Form) == 0 {
		members := maps.Clone(earlier.Members)
		maps.Copy(members, e.Members)
		e.Members = members
	}
	if len(earlier.Form) > 0 && len(e.Members) == 0 {
		form := maps.Clone(earlier.Form)
		maps.Copy(form, e.Form)
		e.Form = form
	}
	return e
}

func (e extra) text() string {
	text, err := json.Marshal(e)
	if err != nil {
		return "" // of texts and JSON: never
	}
	return string(text)
}

// readExtra returns the further members of a token; the zero extra if there are none.
func readExtra(at tokencache.AccessToken) extra {
	var e extra
	if at.Extra == "" || json.Unmarshal([]byte(at.Extra), &e) != nil {
		return extra{}
	}
	return e
}

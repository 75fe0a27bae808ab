package bitwardenclient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// escapes are what a terminal would obey, and a log would break at.
const escapes = "\x1b]0;owned\a\r\nline\u202e\u200b"

// wantClean wants an error that shows none of the secrets, and is one printable line.
func wantClean(t *testing.T, what string, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the error shows %q: %s", what, secret, text)
			}
		}
		if strings.ContainsAny(text, "\x1b\a\r\n\u202e\u200b") {
			t.Errorf("%s: the error isn't fit for a terminal: %q", what, text)
		}
	}
}

func TestSecretsThatAServerRepeatsAreNotShown(t *testing.T) {
	s := bitwardentest.New(bitwardentest.Options{})
	o := inProcess(s)
	token := s.AccessToken()
	clientSecret := strings.Split(strings.Split(token, ":")[0], ".")[2]
	refuse := func(text string) bitwardentest.Fault {
		body, _ := json.Marshal(map[string]string{"message": text})
		return bitwardentest.Fault{Status: 400, Body: string(body)}
	}
	for what, text := range map[string]string{
		"the form":               "bad form: grant_type=client_credentials&client_secret=" + url.QueryEscape(clientSecret) + "&scope=api.secrets",
		"the secret alone":       clientSecret,
		"hidden in escapes":      clientSecret[:5] + "\u200b" + clientSecret[5:] + escapes,
		"at the end of the text": strings.Repeat("é ", 63) + clientSecret,
		"the access token":       token,
	} {
		s.Inject(bitwardentest.Login, refuse(text))
		_, err := bitwardenclient.Login(t.Context(), token, o)
		wantClean(t, "Login, "+what, err, clientSecret, clientSecret[:8])
	}

	var bearer string
	inner := o.HTTPClient.Transport
	o.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if b, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			bearer = b
		}
		return inner.RoundTrip(r)
	})}
	secrets := logIn(t, s, o)
	id := s.Add(bitwardentest.Secret{Key: "ana", Value: "hunter2"})
	if _, err := secrets.Get(t.Context(), id); err != nil || bearer == "" {
		t.Fatalf("Get = %v with the bearer token %q", err, bearer)
	}
	for what, text := range map[string]string{
		"the header":       "Authorization: Bearer " + bearer + escapes,
		"the token alone":  bearer,
		"another's token":  "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.c2ln",
		"an opaque bearer": "bearer opaque-token-4711",
	} {
		s.Inject(bitwardentest.Get, refuse(text))
		_, err := secrets.Get(t.Context(), id)
		wantClean(t, "Get, "+what, err, bearer, bearer[:40], "eyJzdWIiOiJhbmEifQ", "opaque-token-4711")
		if status, ok := errors.AsType[*bitwardenclient.StatusError](err); !ok || strings.Contains(status.Message, bearer) {
			t.Errorf("Get, %s: %+v", what, status)
		}
	}

	s.Inject(bitwardentest.Delete, bitwardentest.Fault{Status: 200, Body: `{"data":[{"error":"denied to Bearer ` + bearer + `\u001b[2J"}]}`})
	err := secrets.Delete(t.Context(), id)
	wantClean(t, "Delete", err, bearer)
	if !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("Delete: %v", err)
	}
	for _, body := range []string{
		`{"revisionDate":"hunter2"}`, `{"id":"hunter2","projects":"hunter2"}`, `hunter2`, `{"id":"hunter2`,
	} {
		s.Inject(bitwardentest.Get, bitwardentest.Fault{Status: 200, Body: body})
		_, err := secrets.Get(t.Context(), id)
		wantClean(t, "an answer like "+body, err, "hunter2")
	}
	s.Inject(bitwardentest.List, bitwardentest.Fault{Status: 200, Body: `{"secrets":[{"id":"\u001b[2J","key":"2.x"}]}`})
	_, err = secrets.List(t.Context(), "")
	wantClean(t, "an id in a list", err)
}

func TestSecretsThatTheSDKRepeatsAreNotShown(t *testing.T) {
	sdk, secrets := fromSDK()
	const jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.c2ln"
	sdk.Err = errors.New(`API error: Received error message from server: [400 Bad Request] {"message":"Bearer ` + jwt + ` client_secret=4711abc"}` + escapes)
	_, err := secrets.Get(t.Context(), "77777777-0000-4000-8000-000000000000")
	wantClean(t, "Get", err, jwt, "eyJzdWIiOiJhbmEifQ", "4711abc")
	if !errors.Is(err, sdk.Err) || !strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("Get = %v", err)
	}
	const token = "0.ec2c1d46-6a4b-4751-a310-af9601317f2d.C2IgxjjLF7qSshsbwe8JGcbM075YXw:X8vbvA0bduihIDe/qrzIQQ=="
	err = bitwardenclient.SDKError(errors.New("can't log in with "+token+", secret C2IgxjjLF7qSshsbwe8JGcbM075YXw, key X8vbvA0bduihIDe/qrzIQQ=="), token)
	wantClean(t, "login", err, "C2IgxjjLF7qSshsbwe8JGcbM075YXw", "X8vbvA0bduihIDe/qrzIQQ==")
	if bitwardenclient.SDKError(nil, token) != nil {
		t.Error("an error of nothing")
	}
}

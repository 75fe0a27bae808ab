package pairing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	restyv2 "github.com/go-resty/resty/v2"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/authentication"
	khttp "github.com/microsoft/kiota-http-go"
	msgraphcore "github.com/microsoftgraph/msgraph-sdk-go-core"
	graphauth "github.com/microsoftgraph/msgraph-sdk-go-core/authentication"
	restyv3 "resty.dev/v3"
)

// signedIn is a user who is signed in, at an identity provider with single-use refresh
// tokens and the Graph beside it.
type signedIn struct {
	idp   *entra.Server
	store *core.Store
	msal  *msal.Client
}

func signIn(t *testing.T) *signedIn {
	t.Helper()
	idp := entra.Start(t, entra.Options{Strict: true})
	store := newStore(t)
	signInByMSAL(t, idp, msal.NewAccessor(store, msal.AccessorOptions{}))
	client, err := msal.NewPublic(entra.PublicClient, msal.WithHTTPClient(idp.HTTPClient()), msal.WithCapabilities("cp1"))
	if err != nil {
		t.Fatal(err)
	}
	return &signedIn{idp, store, client}
}

// TokenSource implements azcore.Sources.
func (s *signedIn) TokenSource(scopes ...string) *core.TokenSource {
	return s.msal.TokenSource(s.store, msal.DefaultRecord, tokencache.Query{Username: entra.Ana, Scopes: scopes})
}

func (s *signedIn) transport() *bearer.Transport {
	return &bearer.Transport{Source: s.TokenSource(scopes...), Base: s.idp.HTTPClient().Transport, PassOthers: true}
}

// call sends one request to Graph, and returns the status and the body of the answer.
type call func(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error)

const graphURL = "https://graph.microsoft.com/v1.0"

func netHTTP(_ *testing.T, _ *signedIn, transport http.RoundTripper) call {
	client := &http.Client{Transport: transport}
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, method, graphURL+path, bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		return resp.StatusCode, answer, err
	}
}

func restyV2(_ *testing.T, _ *signedIn, transport http.RoundTripper) call {
	client := restyv2.New().SetTransport(transport).SetRetryCount(2).SetRetryWaitTime(time.Millisecond).
		AddRetryCondition(func(r *restyv2.Response, _ error) bool { return r.StatusCode() == http.StatusServiceUnavailable })
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		req := client.R().SetContext(ctx)
		if body != nil {
			req.SetBody(body)
		}
		resp, err := req.Execute(method, graphURL+path)
		if err != nil {
			return 0, nil, err
		}
		return resp.StatusCode(), resp.Body(), nil
	}
}

func restyV3(t *testing.T, _ *signedIn, transport http.RoundTripper) call {
	client := restyv3.New().SetTransport(transport).SetRetryCount(2).SetRetryWaitTime(time.Millisecond).
		AddRetryConditions(restyv3.RetryConditionStatus5XX).SetRetryAllowNonIdempotent(true)
	t.Cleanup(func() { _ = client.Close() })
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		req := client.R().SetContext(ctx)
		if body != nil {
			req.SetBody(body)
		}
		resp, err := req.Execute(method, graphURL+path)
		if err != nil {
			return 0, nil, err
		}
		return resp.StatusCode(), resp.Bytes(), nil
	}
}

// graphCore is Microsoft's adapter with all of its middleware: telemetry, retries,
// redirects, compression and the rest.
func graphCore(t *testing.T, auth authentication.AuthenticationProvider, base http.RoundTripper) *msgraphcore.GraphRequestAdapterBase {
	t.Helper()
	options := msgraphcore.GraphClientOptions{}
	client := msgraphcore.GetDefaultClient(&options)
	client.Transport = khttp.NewCustomTransportWithParentTransport(base, msgraphcore.GetDefaultMiddlewaresWithOptions(&options)...)
	adapter, err := msgraphcore.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(auth, options, nil, nil, client)
	if err != nil {
		t.Fatal(err)
	}
	return adapter
}

// overTransport is the adapter whose requests get their tokens in the transport.
func overTransport(t *testing.T, _ *signedIn, transport http.RoundTripper) call {
	return through(graphCore(t, &authentication.AnonymousAuthenticationProvider{}, transport))
}

// withCredential is the adapter that asks a credential for tokens.
func withCredential(t *testing.T, s *signedIn, _ http.RoundTripper) call {
	auth, err := graphauth.NewAzureIdentityAuthenticationProviderWithScopes(azcore.New(s, azcore.Options{}), scopes)
	if err != nil {
		t.Fatal(err)
	}
	return through(graphCore(t, auth, s.idp.HTTPClient().Transport))
}

func through(adapter *msgraphcore.GraphRequestAdapterBase) call {
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		info := abstractions.NewRequestInformation()
		info.UrlTemplate = graphURL + path
		info.Method = map[string]abstractions.HttpMethod{http.MethodGet: abstractions.GET, http.MethodPost: abstractions.POST}[method]
		if body != nil {
			info.SetStreamContentAndContentType(body, "application/json")
		}
		answer, err := adapter.SendPrimitive(ctx, info, "[]byte", nil)
		var refused *abstractions.ApiError
		switch {
		case errors.As(err, &refused):
			return refused.ResponseStatusCode, nil, nil
		case err != nil:
			return 0, nil, err
		}
		return http.StatusOK, answer.([]byte), nil
	}
}

func TestClientsCallGraphThrough401sChallengesRedirectsAndRetries(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	draft := []byte(`{"subject":"Hello"}`)
	for name, client := range map[string]struct {
		of func(*testing.T, *signedIn, http.RoundTripper) call
		// plain401: a token that is refused without a challenge is replaced. A credential
		// isn't told of one.
		plain401 bool
		// retries is the method that the client itself tries again after a 503. Microsoft's
		// middleware (kiota-http-go 1.5.4) is in the order of a map: where the retries come
		// before the compression, the second body is announced as gzip and isn't.
		retries string
	}{
		"net/http":                               {netHTTP, true, ""},
		"resty v2":                               {restyV2, true, http.MethodPost},
		"resty v3":                               {restyV3, true, http.MethodPost},
		"msgraph-sdk-go-core over the transport": {overTransport, true, http.MethodGet},
		"msgraph-sdk-go-core with the credential": {withCredential, false, http.MethodGet},
	} {
		t.Run(name, func(t *testing.T) {
			s := signIn(t)
			do := client.of(t, s, s.transport())
			send := func(method, path string, body []byte) []byte {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				status, answer, err := do(ctx, method, path, body)
				if err != nil || status/100 != 2 {
					t.Fatalf("%s %s: %d, %v", method, path, status, err)
				}
				return answer
			}
			subject := func(answer []byte) string {
				var message struct{ Subject string }
				if err := json.Unmarshal(answer, &message); err != nil {
					t.Fatal(err)
				}
				return message.Subject
			}
			var me struct{ UserPrincipalName string }
			if err := json.Unmarshal(send(http.MethodGet, "/me", nil), &me); err != nil || me.UserPrincipalName != entra.Ana {
				t.Errorf("signed in is %q, %v", me.UserPrincipalName, err)
			}
			if client.plain401 {
				s.idp.RevokeAccess(entra.Ana)
				if got := subject(send(http.MethodPost, "/me/messages", draft)); got != "Hello" {
					t.Errorf("after a 401 the message is about %q", got)
				}
			}
			if err := s.idp.Graph().Demand(claims); err != nil {
				t.Fatal(err)
			}
			if got := subject(send(http.MethodPost, "/me/messages", draft)); got != "Hello" {
				t.Errorf("after a claims challenge the message is about %q", got)
			}
			if client.retries != "" {
				s.idp.Graph().Busy(1, http.StatusServiceUnavailable, "0")
			}
			switch client.retries {
			case http.MethodPost:
				if got := subject(send(http.MethodPost, "/me/messages", draft)); got != "Hello" {
					t.Errorf("after a 503 the message is about %q", got)
				}
			case http.MethodGet:
				send(http.MethodGet, "/me", nil)
			}
			putFile(t, s, "notes.txt", "content")
			if got := string(send(http.MethodGet, "/me/drive/root:/notes.txt:/content", nil)); got != "content" {
				t.Errorf("a download brings %q", got)
			}
			refreshes := 1 // for the challenge
			if client.plain401 {
				refreshes++
			}
			if n := s.idp.Grants().RefreshesSucceeded; n != refreshes {
				t.Errorf("the provider was asked for %d tokens, want %d", n, refreshes)
			}
		})
	}
}

// The client sees no 429: the transport below it has waited, and sent the request again.
func TestTheTransportsRetriesSendWhatTheClientSent(t *testing.T) {
	for name, of := range map[string]func(*testing.T, *signedIn, http.RoundTripper) call{
		"net/http": netHTTP, "resty v2": restyV2, "resty v3": restyV3, "msgraph-sdk-go-core": overTransport,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := signIn(t)
			transport := s.transport()
			transport.Retry = 1
			s.idp.Graph().Busy(1, http.StatusTooManyRequests, "0")
			status, answer, err := of(t, s, transport)(t.Context(), http.MethodPost, "/me/messages", []byte(`{"subject":"Hello"}`))
			if err != nil || status/100 != 2 || !bytes.Contains(answer, []byte("Hello")) {
				t.Errorf("%d %s, %v", status, answer, err)
			}
		})
	}
}

// putFile stores a file in Ana's drive.
func putFile(t *testing.T, s *signedIn, name, content string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/me/drive/root:/%s:/content", graphURL, name), bytes.NewReader([]byte(content)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: s.transport()}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status)
	}
}

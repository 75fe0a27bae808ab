package agent

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// tokenRequest reads GET /token.
func (a *Agent) tokenRequest(r *http.Request) (request, *failure) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("the query can't be read: " + err.Error())
	}
	asked := request{claims: query.Get("claims"), write: writeToken}
	var refused *failure
	if asked.user, refused = a.named(query.Get("user")); refused != nil {
		return request{}, refused
	}
	if asked.scopes = tokencache.SplitScopes(query["scope"]...); len(asked.scopes) == 0 {
		asked.scopes = asked.user.scopes
	}
	if text := query.Get("min_validity"); text != "" {
		if asked.minValidity, err = time.ParseDuration(text); err != nil || asked.minValidity < 0 {
			return request{}, badRequest("min_validity is a duration such as 10m, not " + strconv.Quote(text))
		}
	}
	if asked.claims != "" && !json.Valid([]byte(asked.claims)) {
		return request{}, badRequest("claims is a claims challenge as JSON, decoded from base64")
	}
	return asked, nil
}

// writeToken answers as "graphtoken token --format json" prints.
func writeToken(w http.ResponseWriter, u *user, t *tokencache.AccessToken) {
	writeJSON(w, http.StatusOK, TokenOf(t, u.name))
}

// TokenOf returns t in the form of the agent's answer. user is the name in that answer.
func TokenOf(t *tokencache.AccessToken, user string) client.Token {
	return client.Token{AccessToken: t.Secret.Reveal(), Type: "Bearer", ExpiresOn: t.ExpiresOn, Tenant: t.Realm, User: user, Scopes: t.Scopes}
}

// identityRequest reads a request of App Service's managed identity:
// https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
func (a *Agent) identityRequest(r *http.Request) (request, *failure) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("the query can't be read: " + err.Error())
	}
	if version := query.Get("api-version"); version != "2019-08-01" {
		return request{}, badRequest("api-version is 2019-08-01, not " + strconv.Quote(version))
	}
	resource := query.Get("resource")
	if resource == "" {
		return request{}, badRequest("resource is missing")
	}
	name := ""
	for _, parameter := range []string{"client_id", "principal_id", "object_id", "mi_res_id"} {
		if value := query.Get(parameter); value != "" {
			name = value
		}
	}
	u, refused := a.named(name)
	application := ""
	if refused != nil && a.only != nil && name == query.Get("client_id") {
		// Azure's SDKs send the variable AZURE_CLIENT_ID, which names an application.
		u, refused, application = a.only, nil, name
	}
	if refused != nil {
		return request{}, refused
	}
	scope := resource + "/.default"
	return request{user: u, scopes: []string{scope}, application: application, write: func(w http.ResponseWriter, _ *user, t *tokencache.AccessToken) {
		writeJSON(w, http.StatusOK, map[string]string{
			"access_token": t.Secret.Reveal(),
			"expires_on":   strconv.FormatInt(t.ExpiresOn.Unix(), 10),
			"resource":     resource,
			"token_type":   "Bearer",
			"client_id":    t.ClientID,
		})
	}}, nil
}

// failure is an answer that is no token.
type failure struct {
	status     int
	code       string // one of package client's
	message    string
	retryAfter time.Duration
}

func refuse(status int, code, message string) *failure {
	return &failure{status: status, code: code, message: message}
}

func badRequest(message string) *failure {
	return refuse(http.StatusBadRequest, client.CodeBadRequest, core.Printable(message))
}

// write answers with the failure. statusCode and message are where the Azure SDKs look for
// them.
func (f *failure) write(w http.ResponseWriter) {
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	writeJSON(w, f.status, struct {
		Error      detail `json:"error"`
		StatusCode int    `json:"statusCode"`
		Message    string `json:"message"`
	}{detail{f.code, f.message}, f.status, f.code + ": " + f.message})
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil { // a time out of range, which no token has
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller who has gone can't be told
}

// failureOf says what a caller can do about an error of a token source.
func failureOf(ctx context.Context, err error) *failure {
	var ofStore *core.Error
	message := core.Printable(err.Error())
	var retry interface{ RetryAfter() time.Duration }
	after := time.Duration(0)
	if errors.As(err, &retry) {
		after = retry.RetryAfter()
	}
	switch {
	case errors.Is(err, core.ErrReauthRequired):
		return refuse(http.StatusForbidden, client.CodeSignIn, "the user must sign in again: "+message)
	case errors.Is(err, core.ErrAmbiguous):
		return refuse(http.StatusBadRequest, client.CodeAmbiguous, message)
	case ctx.Err() != nil:
		return &failure{http.StatusGatewayTimeout, client.CodeTimeout, "no token was obtained in time: " + message, after}
	case errors.As(err, &ofStore) && ofStore.FromBackend():
		return &failure{http.StatusServiceUnavailable, client.CodeStore, message, after}
	case isOfProvider(err):
		return &failure{http.StatusBadGateway, client.CodeProvider, message, after}
	}
	return refuse(http.StatusInternalServerError, client.CodeFailed, message)
}

// isOfProvider reports whether an error is of a provider that can't be reached.
func isOfProvider(err error) bool {
	var scoped interface{ FailureScope() core.FailureScope }
	var network interface{ Timeout() bool }
	return errors.As(err, &scoped) && scoped.FailureScope() == core.FailureOfProvider || errors.As(err, &network)
}

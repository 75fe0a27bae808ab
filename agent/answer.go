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
	query, refused := parametersOf(r)
	if refused != nil {
		return request{}, refused
	}
	asked := request{claims: query.Get("claims"), write: writeToken}
	if asked.user, refused = a.named(query.Get("user")); refused != nil {
		return request{}, refused
	}
	if asked.scopes = tokencache.SplitScopes(query["scope"]...); len(asked.scopes) == 0 {
		asked.scopes = asked.user.scopes
	}
	if text := query.Get("min_validity"); text != "" {
		validity, err := time.ParseDuration(text)
		if err != nil || validity < 0 {
			return request{}, badRequest("min_validity is a duration such as 10m, not " + strconv.Quote(text))
		}
		asked.minValidity = validity
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
	query, refused := parametersOf(r)
	if refused != nil {
		return request{}, refused
	}
	if version := query.Get("api-version"); version != "2019-08-01" {
		return request{}, badRequest("api-version is 2019-08-01, not " + strconv.Quote(version))
	}
	resource := query.Get("resource")
	if resource == "" {
		return request{}, badRequest("resource is missing")
	}
	parameter, name, refused := identityOf(query)
	if refused != nil {
		return request{}, refused
	}
	asked := request{scopes: []string{resource + "/.default"}, write: writeIdentity(resource)}
	if asked.user, refused = a.named(name); refused == nil {
		return asked, nil
	}
	if parameter != "client_id" || a.only == nil {
		return request{}, refused
	}
	// Azure's SDKs send the variable AZURE_CLIENT_ID, which names an application.
	asked.user, asked.application = a.only, name
	return asked, nil
}

// identityOf returns the parameter that names a user-assigned identity, and the name. Both
// are empty if there is none. App Service lets a request have one of these parameters.
func identityOf(query url.Values) (parameter, name string, refused *failure) {
	for _, p := range []string{"client_id", "principal_id", "object_id", "mi_res_id"} {
		value := query.Get(p)
		switch {
		case value == "":
		case parameter != "":
			return "", "", badRequest("the request names an identity twice, in " + parameter + " and " + p + ": send one of them")
		default:
			parameter, name = p, value
		}
	}
	return parameter, name, nil
}

// writeIdentity answers as App Service does. resource is what the caller asked for.
func writeIdentity(resource string) func(http.ResponseWriter, *user, *tokencache.AccessToken) {
	return func(w http.ResponseWriter, _ *user, t *tokencache.AccessToken) {
		writeJSON(w, http.StatusOK, map[string]string{
			"access_token": t.Secret.Reveal(),
			"expires_on":   strconv.FormatInt(t.ExpiresOn.Unix(), 10),
			"resource":     resource,
			"token_type":   "Bearer",
			"client_id":    t.ClientID,
		})
	}
}

// parametersOf reads the query of a request. A parameter that is sent twice is refused, as in
// RFC 6749 section 3.2: the agent can't know which of two users is meant. Only scope may be
// repeated.
func parametersOf(r *http.Request) (url.Values, *failure) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query can't be read: " + err.Error())
	}
	for name, values := range query {
		if len(values) > 1 && name != "scope" {
			return nil, badRequest("the parameter " + name + " is sent more than once: send it once")
		}
	}
	return query, nil
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

package azcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// unknownID is the home account ID of tokens that don't tell their owner, and the client
// ID of those that don't tell their application.
const unknownID = "azcore-credential"

// Refresh returns a [core.RefreshFunc] that obtains tokens from c: Azure CLI, a managed
// identity, a workload identity, or any other azcore.TokenCredential. All processes that
// share the record ask c once per expiry.
//
// The query's scopes, tenant and claims are passed on. Azure CLI accepts one scope, such
// as "https://graph.microsoft.com/.default". The credential has to answer the claims. It
// is not asked for CAE tokens, because clients that share the record might not handle
// their challenges.
//
// A token is stored under the user that it names, if it is one of Microsoft's JWTs, and
// under a name of this package otherwise. If the query names no user, any user of the
// credential fits. If it names a user, a client or a tenant, tokens of others are
// refused, which can happen after "az login"; for another user, the error wraps
// [core.ErrReauthRequired]. If the query names no user and the credential's user changes,
// the new user's token replaces the old one's: so give a credential a record of its own.
// If the query has App, the token is stored as the application's.
//
// A credential may answer from a cache of its own. The token is stored all the same,
// unless it has expired.
//
// If the lease was lost before c could be asked, the function returns
// [core.ErrLeaseLost]. It returns core.ErrReauthRequired if azidentity returns
// AuthenticationRequiredError. Its errors have a [core.FailureScope], and wrap the
// credential's error.
func Refresh(c azcore.TokenCredential) core.RefreshFunc {
	return func(ctx context.Context, cache *tokencache.Cache, r core.Refresh) error {
		if c == nil {
			return errors.New("azcore: refresh: the credential is nil")
		}
		q := r.Query
		scopes, err := scopesOf(cache, q)
		if err != nil {
			return err
		}
		o := policy.TokenRequestOptions{Scopes: scopes, Claims: r.Claims}
		if isTenant(q.Tenant) {
			o.TenantID = q.Tenant
		}
		if !r.LeaseHeld() {
			return core.ErrLeaseLost // another process may be asking
		}
		sent := time.Now()
		token, err := c.GetToken(ctx, o)
		if err != nil {
			return explain(err)
		}
		return file(cache, q, token, scopes, sent)
	}
}

// scopesOf returns the scopes to ask for: the query's or, if it has none, those of the
// token in the cache.
func scopesOf(cache *tokencache.Cache, q tokencache.Query) ([]string, error) {
	scopes := tokencache.SplitScopes(q.Scopes...)
	if len(scopes) == 0 {
		last, _ := cache.AccessToken(q)
		scopes = tokencache.SplitScopes(last.Scopes...)
	}
	if len(scopes) == 0 {
		return nil, errors.New("azcore: refresh: the query has no scopes, and the record has no token whose scopes could be used")
	}
	return scopes, nil
}

// file puts a credential's token into the cache, so that the query finds it.
func file(cache *tokencache.Cache, q tokencache.Query, token azcore.AccessToken, scopes []string, sent time.Time) error {
	if !token.ExpiresOn.IsZero() && !token.ExpiresOn.After(sent) {
		return fmt.Errorf("azcore: refresh: the credential returned a token that expired at %s", token.ExpiresOn.UTC().Format(time.RFC3339))
	}
	of := ownerOf(token.Token)
	if err := of.check(q); err != nil {
		return err
	}
	r := tokencache.TokenResponse{
		AccessToken: token.Token, Scope: strings.Join(scopes, " "),
		ClientID: cmp.Or(q.ClientID, of.clientID, unknownID), Environment: q.Environment,
		Tenant:        cmp.Or(q.Tenant, of.tenantID),
		HomeAccountID: cmp.Or(q.HomeAccountID, of.homeAccountID(), unknownID), Username: of.username,
		GrantType: "refresh_token", // nobody signed in, so a sign-out meanwhile counts
		Sent:      sent,
	}
	if q.App {
		r.GrantType = "client_credentials"
	}
	if !token.ExpiresOn.IsZero() {
		r.ExpiresOn = token.ExpiresOn.Unix()
	}
	if token.RefreshOn.After(sent) {
		r.RefreshIn = int(token.RefreshOn.Sub(sent) / time.Second)
	}
	if err := makeRoom(cache, q, r.HomeAccountID); err != nil {
		return err
	}
	if err := cache.Put(r); err != nil {
		return fmt.Errorf("azcore: refresh: %w", err)
	}
	return nil
}

// check refuses a token that doesn't fit the query.
func (o owner) check(q tokencache.Query) error {
	differ := func(want, have string) bool { return want != "" && have != "" && !strings.EqualFold(want, have) }
	switch {
	case differ(q.ClientID, o.clientID):
		return fmt.Errorf("azcore: refresh: the query asks for tokens of client %s, and the credential belongs to client %s", core.Printable(q.ClientID), core.Printable(o.clientID))
	case isID(q.Tenant) && differ(q.Tenant, o.tenantID):
		return fmt.Errorf("azcore: refresh: the query asks for tokens of tenant %s, and the credential's token belongs to %s", core.Printable(q.Tenant), core.Printable(o.tenantID))
	case q.App && o.delegated:
		return errors.New("azcore: refresh: the query asks for an application's token, and the credential's token belongs to a user")
	case q.App:
		return nil
	case differ(q.HomeAccountID, o.homeAccountID()):
		return anotherUser(q.HomeAccountID, o.homeAccountID())
	case q.Username != "" && !strings.EqualFold(q.Username, o.username):
		return anotherUser(q.Username, cmp.Or(o.username, "a user whose name the token doesn't tell"))
	}
	return nil
}

func anotherUser(want, have string) error {
	return &refreshError{
		text:  fmt.Sprintf("the tokens wanted are %s's, the credential is signed in as %s", core.Printable(want), core.Printable(have)),
		errs:  []error{core.ErrReauthRequired},
		scope: core.FailureOfUser,
	}
}

// isID reports a tenant that is named by its ID, a UUID, and not by a domain.
func isID(tenant string) bool { return len(tenant) == 36 && strings.Count(tenant, "-") == 4 }

// makeRoom removes the tokens of the credential's former user if the query names none,
// because with two users in the record it would fit neither. It refuses to remove a
// refresh token, which no credential could obtain again.
func makeRoom(cache *tokencache.Cache, q tokencache.Query, homeAccountID string) error {
	if q.App || q.HomeAccountID != "" || q.Username != "" {
		return nil
	}
	q.Scopes = nil
	known, there := cache.Account(q)
	if !there || strings.EqualFold(known.HomeAccountID, homeAccountID) {
		return nil
	}
	if cache.LongLived(q) {
		return errors.New("azcore: refresh: the record has another user's sign-in; keep the credential's tokens in a record of their own, or name the user in the query")
	}
	cache.Remove(q)
	return nil
}

// refreshError is a credential's failure.
type refreshError struct {
	text       string
	errs       []error
	scope      core.FailureScope
	retryAfter time.Duration
}

func (e *refreshError) Error() string                   { return "azcore: refresh: " + e.text }
func (e *refreshError) Unwrap() []error                 { return e.errs }
func (e *refreshError) FailureScope() core.FailureScope { return e.scope }
func (e *refreshError) RetryAfter() time.Duration       { return e.retryAfter }

// explain returns the error with its scope and what has to be done.
func explain(err error) error {
	e := &refreshError{text: core.Printable(err.Error()), errs: []error{err}}
	kind := kindOf(err)
	switch {
	case errors.Is(err, core.ErrReauthRequired):
		e.scope = core.FailureOfUser
	case kind.name == "AuthenticationRequiredError":
		e.errs, e.scope = append(e.errs, core.ErrReauthRequired), core.FailureOfUser
	case kind.name == "credentialUnavailableError":
		e.scope = core.FailureOfProvider // there is no program or no endpoint, so no token can be obtained, for any scope
	case kind.response != nil:
		e.scope, e.retryAfter = scopeOf(kind.response)
		if e.scope == core.FailureOfUser {
			e.errs = append(e.errs, core.ErrReauthRequired)
		}
	default:
		return fmt.Errorf("azcore: refresh: %w", &shownError{e.text, err}) // the store recognizes an error of the network
	}
	return e
}

// shownError is an error whose text can be shown.
type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }

// scopeOf returns whom the provider's refusal concerns (RFC 6749 section 5.2).
func scopeOf(resp *http.Response) (core.FailureScope, time.Duration) {
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError {
		return core.FailureOfProvider, retryAfter(resp)
	}
	switch errorCode(resp) {
	case "invalid_client", "unauthorized_client", "temporarily_unavailable", "server_error", "":
		return core.FailureOfProvider, 0
	case "invalid_grant":
		return core.FailureOfUser, 0
	}
	return core.FailureOfRequest, 0
}

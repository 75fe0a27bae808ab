package azcore

import (
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/core"
)

// Agent hands out access tokens for scopes, and refreshes them by itself. A *client.Client
// of module agent/client is one.
type Agent interface {
	AccessToken(ctx context.Context, scopes []string, claims string) (token string, expires time.Time, err error)
}

// FromAgent returns a credential whose tokens come from an agent. It keeps nothing: the
// agent answers as quickly as a cache would.
//
// Its errors are ctx's own, [*AuthenticationRequiredError] where the agent says that the
// user must sign in (its error has a method ReauthRequired that returns true), and
// [*AuthenticationFailedError]; they wrap the agent's.
func FromAgent(a Agent) azcore.TokenCredential { return agentCredential{a} }

type agentCredential struct{ agent Agent }

func (c agentCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expires, err := c.agent.AccessToken(ctx, o.Scopes, o.Claims)
	var reauth interface{ ReauthRequired() bool }
	switch {
	case err == nil:
		return azcore.AccessToken{Token: token, ExpiresOn: expires.UTC()}, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return azcore.AccessToken{}, err
	case errors.As(err, &reauth) && reauth.ReauthRequired():
		text := "graphtoken: the user must sign in again: " + core.Printable(err.Error())
		return azcore.AccessToken{}, &AuthenticationRequiredError{o, failure{text, []error{err, core.ErrReauthRequired}}}
	}
	return azcore.AccessToken{}, failed(err)
}

package azcore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/core"
)

// anAgent answers with err, or a token that lasts an hour.
type anAgent struct {
	err    error
	scopes []string
	claims string
}

func (a *anAgent) AccessToken(_ context.Context, scopes []string, claims string) (string, time.Time, error) {
	a.scopes, a.claims = scopes, claims
	return "access-1", time.Now().Add(time.Hour), a.err
}

// signInError is as client.Error of module agent/client.
type signInError struct{}

func (signInError) Error() string        { return "the user must sign in again" }
func (signInError) ReauthRequired() bool { return true }

func TestACredentialOfAnAgentAsksForWhatItsClientWants(t *testing.T) {
	agent := new(anAgent)
	got, err := azcore.FromAgent(agent).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}, Claims: `{"a":1}`})
	if err != nil || got.Token != "access-1" || time.Until(got.ExpiresOn) < 59*time.Minute || !slices.Equal(agent.scopes, []string{"https://vault.azure.net/.default"}) || agent.claims != `{"a":1}` {
		t.Errorf("%v, %v, asked for %q and %q", got.ExpiresOn, err, agent.scopes, agent.claims)
	}
}

func TestAnAgentsErrorsAreTheCredentialsKinds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var required *azcore.AuthenticationRequiredError
	var failed *azcore.AuthenticationFailedError
	_, err := azcore.FromAgent(&anAgent{err: signInError{}}).GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"s"}})
	if !errors.As(err, &required) || !errors.Is(err, core.ErrReauthRequired) || !errors.As(err, new(signInError)) {
		t.Errorf("the user must sign in: %v", err)
	}
	_, err = azcore.FromAgent(&anAgent{err: errors.New("no such socket")}).GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"s"}})
	if !errors.As(err, &failed) {
		t.Errorf("there is no agent: %v", err)
	}
	cancel()
	_, err = azcore.FromAgent(&anAgent{err: context.Canceled}).GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"s"}})
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("the caller has left: %v", err)
	}
}

package oauth2_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/oauth2"
)

type anAgent struct{ err error }

func (a anAgent) AccessToken(ctx context.Context, scopes []string, _ string) (string, time.Time, error) {
	return "access for " + scopes[0], time.Now().Add(time.Hour), a.err
}

func TestATokenSourceOfAnAgentHandsOutItsTokens(t *testing.T) {
	token, err := oauth2.FromAgent(t.Context(), anAgent{}, "User.Read").Token()
	if err != nil || token.AccessToken != "access for User.Read" || !token.Valid() {
		t.Errorf("%v", err)
	}
	gone := errors.New("no such socket")
	if _, err := oauth2.FromAgent(t.Context(), anAgent{gone}, "User.Read").Token(); !errors.Is(err, gone) {
		t.Errorf("there is no agent: %v", err)
	}
}

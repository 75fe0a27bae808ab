package oauth2

import (
	"context"
	"time"

	"golang.org/x/oauth2"
)

// Agent hands out access tokens for scopes, and refreshes them by itself. A *client.Client
// of module agent/client is one.
type Agent interface {
	AccessToken(ctx context.Context, scopes []string, claims string) (token string, expires time.Time, err error)
}

// FromAgent returns a token source whose tokens come from an agent. Each call of Token
// asks the agent, with ctx: the agent answers as quickly as a cache would.
func FromAgent(ctx context.Context, a Agent, scopes ...string) oauth2.TokenSource {
	return agentSource{ctx, a, scopes}
}

type agentSource struct {
	ctx    context.Context // oauth2.TokenSource takes none
	agent  Agent
	scopes []string
}

func (s agentSource) Token() (*oauth2.Token, error) {
	token, expires, err := s.agent.AccessToken(s.ctx, s.scopes, "")
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token, TokenType: "Bearer", Expiry: expires}, nil
}

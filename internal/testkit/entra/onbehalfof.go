package entra

// onBehalfOf trades the access token a user's client sent to an API for one the API may
// send on. Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow.
// s.mu is held.
func (s *Server) onBehalfOf(c *call, client *Client) (*answer, *refusal) {
	if c.form.Get("requested_token_use") != "on_behalf_of" {
		return nil, missing("requested_token_use")
	}
	if c.form.Get("assertion") == "" {
		return nil, missing("assertion")
	}
	at, err := s.sealer.open(c.form.Get("assertion"))
	switch {
	case err != nil:
		return nil, refuse("invalid_grant", 50013, "Assertion failed signature validation.")
	case at.Type != "user" || at.Audience != client.ID && at.Audience != "api://"+client.ID:
		return nil, refuse("invalid_grant", 500131, "Assertion audience does not match the Client app presenting the assertion.")
	case s.opts.Clock().Unix() >= at.Expires:
		return nil, refuse("invalid_grant", 500133, "Assertion is not within its valid time range.")
	case at.Generation < s.gen[at.ObjectID]:
		return nil, refuse("invalid_grant", 50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed.")
	}
	u, refused := s.userIn(at.Username, c.Tenant)
	if refused != nil {
		return nil, refused
	}
	return s.startSession(c, client, u, c.Scopes)
}

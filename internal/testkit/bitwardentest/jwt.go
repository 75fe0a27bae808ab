package bitwardentest

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// jwt is a bearer token. Clients read it and can't verify it: its signature is none.
func (s *Server) jwt(a *account, clientID string, now, expires time.Time) string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // of strings and numbers
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]any{"alg": "RS256", "typ": "at+jwt"}) + "." + part(map[string]any{
		"nbf": now.Unix(), "iat": now.Unix(), "exp": expires.Unix(), "iss": s.url, "client_id": clientID,
		"sub": a.id, "organization": s.organization, "jti": newID(), "scope": []string{"api.secrets"},
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte("not a signature"))
}

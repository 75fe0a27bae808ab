package foreign

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// MissingError says that nothing tells whose a token is.
type MissingError struct {
	ClientID bool // the client ID isn't known
	User     bool // the user's ID isn't known
}

func (e *MissingError) Error() string {
	var what []string
	if e.ClientID {
		what = append(what, "for which client ID it is")
	}
	if e.User {
		what = append(what, "whose it is")
	}
	return "the token doesn't say " + strings.Join(what, ", and ")
}

// members are those of a token endpoint's answer (RFC 6749 section 5.1), and what OAuth
// libraries add: oauthlib expires_at, in seconds since 1970, and golang.org/x/oauth2
// expiry.
type members map[string]json.RawMessage

// text returns a member that is a string, or a number as it is written.
func (m members) text(name string) string {
	var s string
	var n json.Number
	if json.Unmarshal(m[name], &s) == nil {
		return s
	}
	if json.Unmarshal(m[name], &n) == nil {
		return n.String()
	}
	return ""
}

// seconds returns a member that is a count of seconds, or 0.
func (m members) seconds(name string) int64 {
	n, err := strconv.ParseFloat(m.text(name), 64)
	if err != nil || n < 0 || n > 1e11 {
		return 0
	}
	return int64(n)
}

// scope returns the scopes; oauthlib makes a list of them.
func (m members) scope() string {
	var list []string
	if json.Unmarshal(m["scope"], &list) == nil {
		return strings.Join(list, " ")
	}
	return m.text("scope")
}

// expiry is when the access token expires, or 0.
func (m members) expiry(token members) int64 {
	var at time.Time
	if json.Unmarshal(m["expiry"], &at) == nil && at.Unix() > 0 {
		return at.Unix()
	}
	return cmp.Or(m.seconds("expires_at"), m.seconds("expires_on"), token.seconds("exp"))
}

// claimsOf returns the claims of a JWT (RFC 7519), or nil if the token isn't one. Nobody
// checks the signature: the claims only say which user's tokens these are, and the file
// could say anything else, too.
func claimsOf(token string) members {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	var m members
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(data, &m) != nil {
		return nil
	}
	return m
}

// first returns the first of the claims that there is.
func first(from []members, names ...string) string {
	for _, m := range from {
		for _, name := range names {
			if text := m.text(name); text != "" {
				return text
			}
		}
	}
	return ""
}

// defaultLifetime is the lifetime of a token that doesn't say when it was issued.
const defaultLifetime = 3600

// readToken reads an OAuth token.
func readToken(text []byte, of Owner) (*tokencache.Cache, error) {
	var m members
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON object", tokencache.ErrCorrupt)
	}
	id, access := claimsOf(m.text("id_token")), claimsOf(m.text("access_token"))
	r := tokencache.TokenResponse{
		AccessToken: m.text("access_token"), RefreshToken: m.text("refresh_token"), IDToken: m.text("id_token"),
		ClientInfo: m.text("client_info"), FamilyID: m.text("foci"), TokenType: m.text("token_type"),
		Scope:    cmp.Or(m.scope(), access.text("scp")),
		ClientID: of.ClientID, Environment: of.Environment, HomeAccountID: of.HomeAccountID, Username: of.Username,
		Tenant: cmp.Or(of.Tenant, first([]members{access, id}, "tid")),
	}
	if r.AccessToken == "" {
		return nil, fmt.Errorf("%w: its access token is empty", ErrNoTokens)
	}
	if id == nil {
		r.IDToken = "" // one that can't be read is of no use
	}
	if err := own(&r, id, access, of); err != nil {
		return nil, err
	}

	expires, lifetime := m.expiry(access), m.seconds("expires_in")
	if issued := access.seconds("iat"); lifetime == 0 && issued > 0 && issued < expires {
		lifetime = expires - issued
	}
	lifetime = cmp.Or(lifetime, defaultLifetime)
	// A token that doesn't say when it expires counts as expired, and as older than all.
	r.ExpiresIn, r.Sent = int(lifetime), time.Unix(max(expires-lifetime, 1), 0)

	c := tokencache.New()
	if err := c.Put(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return c, nil
}

// own completes the owner of the tokens by their claims.
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
func own(r *tokencache.TokenResponse, id, access members, of Owner) error {
	client := cmp.Or(first([]members{access}, "appid", "azp"), id.text("aud"))
	if of.ClientID != "" && client != "" && !strings.EqualFold(of.ClientID, client) {
		return fmt.Errorf("%w: its client ID is %q", ErrOtherOwner, client)
	}
	r.ClientID = cmp.Or(of.ClientID, client)
	missing := &MissingError{ClientID: r.ClientID == ""}
	app := access != nil && access.text("scp") == "" && r.RefreshToken == "" && r.IDToken == "" && of.Username == "" && of.HomeAccountID == ""
	if of.App || app {
		r.GrantType = "client_credentials"
	} else {
		if err := name(r, id, access, of); err != nil {
			return err
		}
		if r.HomeAccountID == "" && r.ClientInfo == "" {
			r.HomeAccountID = homeOf(id, access)
			missing.User = r.HomeAccountID == ""
		}
	}
	if missing.ClientID || missing.User {
		return missing
	}
	return nil
}

// name completes the user's name. The names of a token must include the one of Owner.
func name(r *tokencache.TokenResponse, id, access members, of Owner) error {
	var names []string
	for _, m := range []members{id, access} {
		for _, claim := range []string{"preferred_username", "upn", "unique_name", "email"} {
			if text := m.text(claim); text != "" {
				names = append(names, text)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	for _, n := range names {
		if strings.EqualFold(n, of.Username) {
			return nil
		}
	}
	if of.Username != "" {
		return fmt.Errorf("%w: its user is %q", ErrOtherOwner, names[0])
	}
	r.Username = names[0]
	return nil
}

// homeOf returns the home account ID, or "" if the claims don't tell. A guest's tokens name
// the guest's ID in the tenant, and not at home.
func homeOf(id, access members) string {
	for _, m := range []members{access, id} {
		guest := m.text("idp") != "" || m.text("acct") == "1" || strings.Contains(strings.ToUpper(first([]members{m}, "upn", "unique_name", "preferred_username")), "#EXT#")
		if oid, tid := m.text("oid"), m.text("tid"); oid != "" && tid != "" && !guest {
			return oid + "." + tid
		}
	}
	return ""
}

// ErrNoAccessToken: the cache has no access token for the query.
var ErrNoAccessToken = errors.New("no access token")

// MarshalToken returns the tokens that q means in the form of oauthlib, which python-o365
// before 2.1 stores: one user's access token, whether or not it has expired, with the refresh
// token and the ID token, if there are any. If q fits no access token, or fits several users,
// the error is ErrNoAccessToken. The text is secret.
func MarshalToken(c *tokencache.Cache, q tokencache.Query) ([]byte, error) {
	at, found := c.AccessToken(q)
	if !found {
		return nil, ErrNoAccessToken
	}
	q.ClientID, q.HomeAccountID, q.Environment = at.ClientID, at.HomeAccountID, at.Environment
	rt, _ := c.RefreshToken(q)
	id, _ := c.IDToken(q)
	out := struct {
		TokenType    string   `json:"token_type"`
		Scope        []string `json:"scope"`
		ExpiresIn    int64    `json:"expires_in"`
		AccessToken  string   `json:"access_token"`
		RefreshToken string   `json:"refresh_token,omitempty"`
		IDToken      string   `json:"id_token,omitempty"`
		ExpiresAt    int64    `json:"expires_at"`
	}{
		cmp.Or(at.TokenType, "Bearer"), at.Scopes, max(int64(at.ExpiresOn.Sub(at.CachedAt)/time.Second), 0),
		at.Secret.Reveal(), rt.Secret.Reveal(), id.Secret.Reveal(), at.ExpiresOn.Unix(),
	}
	if at.CachedAt.IsZero() || at.ExpiresOn.IsZero() {
		out.ExpiresIn, out.ExpiresAt = defaultLifetime, max(at.ExpiresOn.Unix(), 1)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(out)
	return text.Bytes(), err
}

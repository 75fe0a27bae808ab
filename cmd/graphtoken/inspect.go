package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type inspectCommand struct {
	JSON bool `name:"json" env:"-" help:"As JSON."`
}

// inspection is what inspect --json prints.
type inspection struct {
	Store  string      `json:"store"`
	Key    string      `json:"key"`
	Note   string      `json:"note"`
	Tokens []inspected `json:"tokens"`
}

// inspected is a stored token without its secret. Claims are what the token says. Nobody
// has checked its signature, which only its resource can.
type inspected struct {
	Type          string          `json:"type"`
	Username      string          `json:"username,omitempty"`
	HomeAccountID string          `json:"home_account_id,omitempty"`
	ClientID      string          `json:"client_id,omitempty"`
	Environment   string          `json:"environment,omitempty"`
	Tenant        string          `json:"tenant,omitempty"`
	Scopes        []string        `json:"scopes,omitempty"`
	CachedOn      *time.Time      `json:"cached_on,omitempty"`
	ExpiresOn     *time.Time      `json:"expires_on,omitempty"`
	RefreshOn     *time.Time      `json:"refresh_on,omitempty"`
	Claims        json.RawMessage `json:"claims,omitempty"` // absent if the token isn't a JWT
}

func (cmd *inspectCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.withRecord(ctx, c, func(o *opened, cache *tokencache.Cache) error { return cmd.show(o, cache, c) })
}

func (cmd *inspectCommand) show(o *opened, cache *tokencache.Cache, c *console) error {
	tokens, err := inspect(cache)
	if err != nil {
		return err
	}
	named := o.named()
	tokens = slices.DeleteFunc(tokens, func(t inspected) bool {
		if named.Environment != "" && !msal.SameProvider(named.Environment, t.Environment) {
			return true
		}
		return !fits(named.Username, t.Username) || !fits(named.ClientID, t.ClientID) || !fits(named.Tenant, t.Tenant) && t.Tenant != "" || named.App && t.HomeAccountID != ""
	})
	if len(tokens) == 0 {
		return nobody(cache, named)
	}
	const note = "claims are what the tokens say; no signature is checked"
	if cmd.JSON {
		return writeJSON(c.out, inspection{o.String(), redact(o.Key), note, tokens})
	}
	for _, t := range tokens {
		if err := t.print(c.out, time.Now()); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.out, "("+note+")")
	return err
}

// inspect reads a token cache's document, whose fields tokencache's package comment names.
func inspect(c *tokencache.Cache) ([]inspected, error) {
	data, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	type entry struct {
		Secret        string `json:"secret"`
		HomeAccountID string `json:"home_account_id"`
		ClientID      string `json:"client_id"`
		Environment   string `json:"environment"`
		Realm         string `json:"realm"`
		Target        string `json:"target"`
		CachedAt      any    `json:"cached_at"`
		ExpiresOn     any    `json:"expires_on"`
		RefreshOn     any    `json:"refresh_on"`
		Modified      any    `json:"last_modification_time"`
	}
	var document struct {
		AccessToken, RefreshToken, IDToken map[string]json.RawMessage
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		return nil, err
	}
	for name, into := range map[string]*map[string]json.RawMessage{"AccessToken": &document.AccessToken, "RefreshToken": &document.RefreshToken, "IdToken": &document.IDToken} {
		_ = json.Unmarshal(sections[name], into) // null, or not there
	}
	names := make(map[string]string)
	for _, a := range c.Accounts() {
		names[a.HomeAccountID] = a.Username
	}
	var all []inspected
	for _, section := range []struct {
		of      string
		entries map[string]json.RawMessage
	}{{"access token", document.AccessToken}, {"refresh token", document.RefreshToken}, {"ID token", document.IDToken}} {
		for _, raw := range section.entries {
			var e entry
			if json.Unmarshal(raw, &e) != nil {
				continue // of a form that no library reads
			}
			all = append(all, inspected{
				Type: section.of, Username: names[e.HomeAccountID], HomeAccountID: e.HomeAccountID, ClientID: e.ClientID,
				Environment: e.Environment, Tenant: e.Realm, Scopes: tokencache.SplitScopes(e.Target),
				CachedOn: cmp.Or(instant(e.CachedAt), instant(e.Modified)), ExpiresOn: instant(e.ExpiresOn), RefreshOn: instant(e.RefreshOn),
				Claims: claimsOf(e.Secret),
			})
		}
	}
	slices.SortFunc(all, func(a, b inspected) int {
		return cmp.Or(cmp.Compare(a.HomeAccountID, b.HomeAccountID), cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Type, b.Type),
			cmp.Compare(strings.Join(a.Scopes, " "), strings.Join(b.Scopes, " ")))
	})
	return all, nil
}

// instant reads seconds since 1970, which libraries write as a number or as a text.
func instant(value any) *time.Time {
	seconds, err := strconv.ParseFloat(fmt.Sprint(value), 64)
	if err != nil || seconds <= 0 || seconds > 1e11 {
		return nil
	}
	t := time.Unix(int64(seconds), 0).UTC()
	return &t
}

// claimsOf returns the claims of a JWT (RFC 7519), or nil if the token isn't one. A claim
// that looks like a secret itself is left out.
func claimsOf(token string) json.RawMessage {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(data, &claims) != nil {
		return nil
	}
	return json.RawMessage(redact(string(data)))
}

// timeClaims are claims that are seconds since 1970.
var timeClaims = []string{"exp", "iat", "nbf", "auth_time", "xms_st"}

func (t inspected) print(w io.Writer, now time.Time) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s of %s\n", t.Type, printable(cmp.Or(t.Username, t.HomeAccountID, "the application")))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&text, "  %-11s %s\n", printable(name), printable(value))
		}
	}
	line("client", t.ClientID)
	line("provider", strings.Trim(t.Environment+"/"+t.Tenant, "/"))
	line("scopes", strings.Join(t.Scopes, " "))
	line("obtained", ago(t.CachedOn, now))
	line("refresh at", ago(t.RefreshOn, now))
	line("expires", ago(t.ExpiresOn, now))
	var claims map[string]json.RawMessage
	if json.Unmarshal(t.Claims, &claims) == nil {
		fmt.Fprintln(&text, "  claims")
		for _, name := range slices.Sorted(maps.Keys(claims)) {
			value := string(claims[name])
			if at := instant(value); at != nil && slices.Contains(timeClaims, name) {
				value += " (" + ago(at, now) + ")"
			}
			fmt.Fprintf(&text, "    %-9s %s\n", printable(name), printable(value))
		}
	}
	_, err := fmt.Fprintln(w, text.String())
	return err
}

// ago is a time, and how far it is from now.
func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	text := t.Local().Format(time.DateTime)
	d := t.Sub(now).Round(time.Second)
	if d > 0 {
		return text + " (in " + d.String() + ")"
	}
	return text + " (" + (-d).String() + " ago)"
}

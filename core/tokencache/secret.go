package tokencache

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// Secret is a token or another secret. However it is printed, logged or
// marshalled, it shows its length and nothing else; Reveal hands it over. So do
// AccessToken, RefreshToken and IDToken, which hold one, and TokenResponse.
//
// What it can't prevent, since it is a string that converts and compares, is what
// reads memory by reflection and asks no type for a method:
//
//   - package fmt, for what stands in a field that is not exported: a struct that
//     keeps a Secret in one needs a Format method of its own. Nor does fmt ask for
//     the verbs %p and %w, which go vet reports.
//   - go-spew with DisableMethods, and so the diff that testify's assert.Equal
//     prints, and go-cmp where two secrets of one length differ. Compare with ==,
//     and print what came of it.
//   - encoding/json, for the key of a map.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns the secret's length in words.
func (s Secret) String() string { return "[secret, " + strconv.Itoa(len(s)) + " bytes]" }

// Format prints String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String; MarshalJSON follows from it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Equal reports whether both are the same. Package go-cmp asks for it, which would
// print the difference of two strings.
func (s Secret) Equal(o Secret) bool { return s == o }

// GobEncode returns String.
func (s Secret) GobEncode() ([]byte, error) { return []byte(s.String()), nil }

// Equal reports whether both are the same token. Package go-cmp asks for it, which
// can't compare fields that are not exported.
func (t AccessToken) Equal(o AccessToken) bool {
	return t.Secret == o.Secret && t.ExpiresOn.Equal(o.ExpiresOn) && t.CachedAt.Equal(o.CachedAt) && t.RefreshOn.Equal(o.RefreshOn) &&
		slices.Equal(t.Scopes, o.Scopes) && t.HomeAccountID == o.HomeAccountID && t.ClientID == o.ClientID && t.Realm == o.Realm &&
		t.Environment == o.Environment && t.TokenType == o.TokenType && t.Extra == o.Extra && t.ahead == o.ahead
}

// String says how much is in the cache, and nothing of what.
func (c Cache) String() string {
	n := 0
	for of := range c.in().groups {
		if of.home != "" {
			n++
		}
	}
	return "[token cache, " + strconv.Itoa(n) + " users]"
}

// Format prints String, whatever the verb.
func (c Cache) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns String.
func (c Cache) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON returns String: a cache that is logged as part of something stays
// secret. Marshal writes the document.
func (c Cache) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// redactedResponse is a TokenResponse that can be printed.
type redactedResponse struct {
	AccessToken, RefreshToken, IDToken, ClientInfo Secret
	Scope, TokenType, FamilyID                     string
	ExpiresIn, ExtExpiresIn, RefreshIn             int
	ExpiresOn                                      int64
	ClientID, Environment, Tenant, HomeAccountID   string
	GrantType, Username                            string
	Extra                                          Secret
	Library                                        Library
}

func (r TokenResponse) redacted() redactedResponse {
	return redactedResponse{
		Secret(r.AccessToken), Secret(r.RefreshToken), Secret(r.IDToken), Secret(r.ClientInfo),
		r.Scope, r.TokenType, r.FamilyID,
		r.ExpiresIn, r.ExtExpiresIn, r.RefreshIn, r.ExpiresOn,
		r.ClientID, r.Environment, r.Tenant, r.HomeAccountID,
		r.GrantType, r.Username, Secret(r.Extra), r.Library,
	}
}

// String returns the response without its secrets.
func (r TokenResponse) String() string { return fmt.Sprintf("%+v", r.redacted()) }

// Format prints String, whatever the verb.
func (r TokenResponse) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue returns the response without its secrets.
func (r TokenResponse) LogValue() slog.Value { return slog.AnyValue(r.redacted()) }

// MarshalJSON writes the response without its secrets.
func (r TokenResponse) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }

// MarshalText returns String; encoding/xml calls it, and most other encodings.
func (r TokenResponse) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// GobEncode returns String.
func (r TokenResponse) GobEncode() ([]byte, error) { return []byte(r.String()), nil }

// Equal reports whether both responses are the same. Package go-cmp asks for it,
// which would print the secrets field by field.
func (r TokenResponse) Equal(o TokenResponse) bool {
	sent := r.Sent.Equal(o.Sent)
	r.Sent, o.Sent = time.Time{}, time.Time{}
	return sent && r == o
}

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

// Secret is a token or another secret. However it is printed, logged or marshalled, it
// shows its length and nothing else; Reveal returns the secret. AccessToken,
// RefreshToken, IDToken and TokenResponse, which contain secrets, do the same.
//
// A Secret is a string, so that programs can convert and compare it. So it can't prevent
// that code which reads memory by reflection, and calls no method of the type, prints it:
//
//   - package fmt, for a field that is not exported: a struct with a Secret in such a
//     field needs a Format method of its own. Package fmt also calls no method for the
//     verbs %p and %w, which go vet reports.
//   - go-spew with DisableMethods, and so the diff that testify's assert.Equal prints; and
//     go-cmp if two secrets of one length differ. Compare with ==, and print the result.
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

// Equal reports whether both are the same. Without this method package go-cmp would print
// the difference of two strings.
func (s Secret) Equal(o Secret) bool { return s == o }

// GobEncode returns String.
func (s Secret) GobEncode() ([]byte, error) { return []byte(s.String()), nil }

// Equal reports whether both are the same token. Package go-cmp needs it, because it
// can't compare fields that are not exported.
func (t AccessToken) Equal(o AccessToken) bool {
	return t.Secret == o.Secret && t.ExpiresOn.Equal(o.ExpiresOn) && t.CachedAt.Equal(o.CachedAt) && t.RefreshOn.Equal(o.RefreshOn) &&
		slices.Equal(t.Scopes, o.Scopes) && t.HomeAccountID == o.HomeAccountID && t.ClientID == o.ClientID && t.Realm == o.Realm &&
		t.Environment == o.Environment && t.TokenType == o.TokenType && t.Extra == o.Extra && t.ahead == o.ahead
}

// String tells how much is in the cache, and nothing of its contents.
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

// MarshalJSON returns String, so that a cache that is logged as part of another value
// stays secret. Marshal writes the document.
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

// Equal reports whether both responses are the same. Without this method package go-cmp
// would print the secrets, field by field.
func (r TokenResponse) Equal(o TokenResponse) bool {
	sent := r.Sent.Equal(o.Sent)
	r.Sent, o.Sent = time.Time{}, time.Time{}
	return sent && r == o
}

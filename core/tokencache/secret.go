package tokencache

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// Secret is a token or another secret. However it is printed, logged or
// marshalled, it shows its length and nothing else; Reveal hands it over.
//
// What it can't prevent: package fmt doesn't ask the type of a field that is not
// exported, so a struct that keeps a Secret in one needs a Format method of its
// own; nor does it ask for the verbs %p and %w, which go vet reports. And
// encoding/json writes the key of a map as the string it is.
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

// String says how much is in the cache, and nothing of what.
func (c Cache) String() string {
	n := 0
	for of := range c.groups {
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
	ClientID, Environment, Tenant, HomeAccountID   string
	GrantType                                      string
}

func (r TokenResponse) redacted() redactedResponse {
	return redactedResponse{
		Secret(r.AccessToken), Secret(r.RefreshToken), Secret(r.IDToken), Secret(r.ClientInfo),
		r.Scope, r.TokenType, r.FamilyID,
		r.ExpiresIn, r.ExtExpiresIn, r.RefreshIn,
		r.ClientID, r.Environment, r.Tenant, r.HomeAccountID,
		r.GrantType,
	}
}

// Format prints the response without its secrets.
func (r TokenResponse) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%+v", r.redacted()) }

// LogValue returns the response without its secrets.
func (r TokenResponse) LogValue() slog.Value { return slog.AnyValue(r.redacted()) }

// MarshalJSON writes the response without its secrets.
func (r TokenResponse) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }

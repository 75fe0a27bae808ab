package msal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// answer is a token response (RFC 6749 section 5.1, OpenID Connect Core
// section 3.1.3.3) with Microsoft's additions.
type answer struct {
	AccessToken, RefreshToken, IDToken, ClientInfo string
	Scope, TokenType, FamilyID                     string
	ExpiresIn, ExtExpiresIn, RefreshIn             int   // seconds from sent; 0 where the answer doesn't say
	ExpiresOn                                      int64 // seconds since 1970, likewise

	sent time.Time
}

// Format prints nothing of the tokens.
func (a answer) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "a token response") }

// message is the JSON of a token endpoint: tokens or a refusal. A member of the wrong
// type is ignored, because the refresh token was spent for the tokens beside it.
type message struct {
	AccessToken  string          `json:"access_token"`
	RefreshToken string          `json:"refresh_token"`
	IDToken      string          `json:"id_token"`
	ClientInfo   string          `json:"client_info"`
	TokenType    string          `json:"token_type"`
	FamilyID     string          `json:"foci"`
	Scope        json.RawMessage `json:"scope"`
	ExpiresIn    json.RawMessage `json:"expires_in"`
	ExpiresOn    json.RawMessage `json:"expires_on"`
	ExtExpiresIn json.RawMessage `json:"ext_expires_in"`
	RefreshIn    json.RawMessage `json:"refresh_in"`

	Error         string          `json:"error"`
	Suberror      string          `json:"suberror"`
	Description   string          `json:"error_description"`
	ErrorCodes    json.RawMessage `json:"error_codes"`
	Claims        string          `json:"claims"`
	CorrelationID string          `json:"correlation_id"`
}

// parseMessage reads the JSON object with which body begins. Bytes after the object are
// ignored, as in MSAL Go.
func parseMessage(body []byte) (message, bool) {
	var m message
	err := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff")))).Decode(&m)
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) {
		return m, mistyped.Field != "" // no object at all has no field
	}
	return m, err == nil
}

// answer returns the message's tokens. It returns nil if there are none, or if there is a
// refusal beside them: both MSAL Go and MSAL Python take that for a refusal.
func (m message) answer(sent time.Time) *answer {
	if m.AccessToken == "" || m.Error != "" {
		return nil
	}
	a := &answer{
		AccessToken: m.AccessToken, RefreshToken: m.RefreshToken, IDToken: m.IDToken, ClientInfo: m.ClientInfo,
		Scope: textOf(m.Scope), TokenType: m.TokenType, FamilyID: m.FamilyID,
		ExpiresIn: secondsOf(m.ExpiresIn), ExpiresOn: timeOf(m.ExpiresOn), ExtExpiresIn: secondsOf(m.ExtExpiresIn), RefreshIn: secondsOf(m.RefreshIn),
		sent: sent,
	}
	// An unreadable part must not cost the tokens beside it.
	if _, err := tokencache.HomeAccountID(a.ClientInfo); err != nil {
		a.ClientInfo = ""
	}
	if _, err := readClaims(a.IDToken); err != nil {
		a.IDToken = ""
	}
	return a
}

// maxSeconds limits a lifetime to 68 years, so that it can be used in sums. Package
// tokencache decides how long a token is trusted at most.
const maxSeconds = math.MaxInt32

// secondsOf reads a number of seconds, which some providers send as a string.
func secondsOf(value json.RawMessage) int {
	n, err := strconv.ParseFloat(textOf(value), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || !(n > 0) {
		return 0
	}
	return int(min(n, maxSeconds))
}

// timeLayouts are the forms of expires_on beside seconds since 1970, as MSAL Go
// reads them (accesstokens.TokenResponse.UnmarshalJSON).
var timeLayouts = []string{"01/02/2006 15:04:05", "2006-01-02 15:04:05", time.RFC3339Nano}

// timeOf reads a point in time, in seconds since 1970; one that can't be read is 0.
func timeOf(value json.RawMessage) int64 {
	text := textOf(value)
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < 1<<53 {
		return int64(n)
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Unix()
		}
	}
	return 0
}

// textOf reads a JSON string or number, or an array of strings, which it joins with
// blanks. Anything else is "".
func textOf(value json.RawMessage) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return ""
	}
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case json.Number:
		return v.String()
	case []any:
		var texts []string
		for _, element := range v {
			if text, ok := element.(string); ok {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, " ")
	}
	return ""
}

// response is the answer in the form of a token cache.
func (a *answer) response(grantType, clientID, environment, realm, homeAccountID string, scopes []string) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken: a.AccessToken, RefreshToken: a.RefreshToken, IDToken: a.IDToken,
		ClientInfo: a.ClientInfo, Scope: a.granted(scopes, environment),
		TokenType: a.TokenType, FamilyID: a.FamilyID,
		ExpiresIn: a.ExpiresIn, ExpiresOn: a.ExpiresOn, ExtExpiresIn: a.ExtExpiresIn, RefreshIn: a.RefreshIn,
		ClientID: clientID, Environment: environment, Tenant: realm, HomeAccountID: homeAccountID,
		GrantType: grantType, Sent: a.sent,
	}
}

// granted returns the scopes for which the token is good. If the provider names no scope,
// it is the one that was asked for (RFC 6749 section 5.1). A resource's ".default" means
// whatever was consented to, and the provider may list that instead. The resource may
// have another of its names (its ID, or Graph's host in another cloud). In both cases the
// token still fits a query for the scope that was asked for.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc#the-default-scope
func (a *answer) granted(asked []string, environment string) string {
	if strings.TrimSpace(a.Scope) == "" {
		return strings.Join(asked, " ")
	}
	granted := tokencache.SplitScopes(a.Scope)
	for _, scope := range asked {
		renamed := slices.ContainsFunc(granted, func(g string) bool { return isRenamed(g, scope) })
		if !slices.Contains(granted, scope) && (strings.HasSuffix(scope, "/.default") || renamed && !isAnswered(scope, granted, environment)) {
			granted = append(granted, scope)
		}
	}
	return strings.Join(granted, " ")
}

// isRenamed reports whether a granted scope may be the one that was asked for, under
// another name of its resource. A token is for one resource, so an ID can only be that of
// the resource that was asked for.
func isRenamed(granted, asked string) bool {
	of, name := cutScope(granted)
	wanted, wantedName := cutScope(asked)
	return strings.EqualFold(name, wantedName) &&
		(isGraph(of) && isGraph(wanted) || resourceID.MatchString(of) || resourceID.MatchString(wanted))
}

// cutScope cuts a scope into its resource, without https:// and slashes at its end, and
// its name.
func cutScope(scope string) (resource, name string) {
	at := strings.LastIndex(scope, "/") + 1
	resource = strings.TrimRight(strings.ToLower(scope[:at]), "/")
	return strings.TrimPrefix(resource, "https://"), scope[at:]
}

// isGraph reports whether a resource is Microsoft Graph in any cloud, which is also meant
// if a scope names no resource.
func isGraph(resource string) bool {
	return resource == "" || slices.Contains(bearer.GraphHosts(), resource)
}

var resourceID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// isAnswered reports whether a query for the scope finds a token of the granted ones.
func isAnswered(scope string, granted []string, environment string) bool {
	c := tokencache.New()
	err := c.Put(tokencache.TokenResponse{AccessToken: "any", ClientID: "any", Environment: environment, Scope: strings.Join(granted, " ")})
	return err == nil && !c.Expired(tokencache.Query{App: true, Scopes: []string{scope}}, time.Now())
}

// Package foreign reads the tokens that other programs keep, in whatever form, and writes
// one of those forms.
//
//	cache, _, err := foreign.Read(data, foreign.Owner{})
//	if err != nil {
//		return err
//	}
//	err = store.Update(ctx, key, func(c *tokencache.Cache) error {
//		c.Replace(tokencache.Merge(nil, cache, c)) // of one token's two entries, the newer stays
//		return nil
//	})
//
// Read knows
//
//   - MSAL's token cache, of every language: also python-o365's (2.1 and later),
//     azure-cli's and Azure PowerShell's, where they are not encrypted;
//   - the token of an OAuth library, which is the token endpoint's answer: python-o365's
//     before 2.1 (oauthlib), and golang.org/x/oauth2's;
//   - either of them with a byte order mark, in UTF-16 with a byte order mark, or as text
//     in a JSON string, as python-o365's Django model stores it.
//
// Of other files in which one might look for tokens, such as a cache that Windows
// encrypts, the error says what the file is, and what to do. No error quotes a token.
package foreign

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Read's errors, besides tokencache.ErrCorrupt and *MissingError.
var (
	// ErrNoTokens: the data are whole, and contain no tokens that could be read.
	ErrNoTokens = errors.New("no tokens in it")
	// ErrProtected: another program has encrypted the data.
	ErrProtected = errors.New("encrypted by another program")
	// ErrOtherOwner: the token says that it is another user's or client's than Owner does.
	ErrOtherOwner = errors.New("the token is another's")
	// ErrUnfit: a name or a token has characters that no provider puts there, such as
	// those that control a terminal.
	ErrUnfit = errors.New("characters that no name or token has")
)

// Form is the form in which a program keeps its tokens.
type Form string

// The forms that Read knows.
const (
	TokenCache Form = "token cache" // MSAL's
	OAuthToken Form = "OAuth token" // the token endpoint's answer
)

// Owner tells whose a token is. A token cache says so itself, and Read ignores the Owner.
// An OAuth token doesn't, except by claims of a JWT in it, if there is one.
type Owner struct {
	ClientID string
	// HomeAccountID is the user's ID, "<object ID>.<tenant ID>" of the user's own tenant.
	HomeAccountID string
	Username      string
	// Tenant is the tenant segment of the authority at sign-in. By default it is the
	// tenant that the token names, or else "common".
	Tenant string
	// Environment is the host of the authority; login.microsoftonline.com if empty.
	Environment string
	// App says that the token is the application's own (client credentials).
	App bool
}

// Read returns the tokens in data, and the form in which they were.
func Read(data []byte, of Owner) (*tokencache.Cache, Form, error) {
	text, err := decode(data)
	if err != nil {
		return nil, "", err
	}
	if len(text) > 0 && text[0] == '"' {
		var inner string
		if json.Unmarshal(text, &inner) == nil {
			text = trim([]byte(inner))
		}
	}
	if err := recognize(text); err != nil {
		return nil, "", err
	}
	form := TokenCache
	c, err := tokencache.Parse(text)
	if errors.Is(err, tokencache.ErrLegacyToken) {
		form = OAuthToken
		c, err = readToken(text, of)
	}
	if err == nil {
		err = check(c)
	}
	if err != nil {
		return nil, "", err
	}
	return c, form, nil
}

// decode returns the text in UTF-8, without a byte order mark and white space around it.
func decode(data []byte) ([]byte, error) {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	case !bytes.HasPrefix(data, []byte("\xff\xfe")):
		return trim(data), nil
	}
	data = data[2:]
	if len(data)%2 != 0 {
		return nil, fmt.Errorf("%w: it is UTF-16, and ends within a character", tokencache.ErrCorrupt)
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return trim([]byte(string(utf16.Decode(units)))), nil
}

func trim(text []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
}

// dpapi begins what Windows' CryptProtectData wrote: a version, and the GUID of the
// provider. https://learn.microsoft.com/windows/win32/api/dpapi/nf-dpapi-cryptprotectdata
const dpapi = "\x01\x00\x00\x00\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xeb"

// recognize returns an error unless the text is a JSON object that may contain tokens.
func recognize(text []byte) error {
	begins := func(with string) bool { return bytes.HasPrefix(text, []byte(with)) }
	switch {
	case len(text) == 0:
		return fmt.Errorf("%w: it is empty (a program that keeps its tokens in the operating system's keychain leaves an empty file)", ErrNoTokens)
	case begins(dpapi):
		return fmt.Errorf("%w: Windows (DPAPI) encrypted it for one user of one machine; there, have the program write it plain, as azure-cli does after \"az config set core.encrypt_token_cache=false\" and \"az login\"", ErrProtected)
	case begins("gAAAA"):
		return fmt.Errorf("%w: it is a Fernet token, for which python-o365's program has the key", ErrProtected)
	case begins("graphtoken:"):
		return fmt.Errorf("%w: graphtoken encrypted it, with keys of its own", ErrProtected)
	case begins("eyJ") && bytes.Count(text, []byte(".")) == 4: // JWE, RFC 7516 section 7.1
		return fmt.Errorf("%w: it is a JWE, whose key the Azure SDK for Go keeps in the kernel's keyring", ErrProtected)
	case begins("<"):
		return fmt.Errorf("%w: it is a web page or XML", tokencache.ErrCorrupt)
	case begins("["):
		var list []map[string]json.RawMessage
		if json.Unmarshal(text, &list) == nil && len(list) > 0 {
			return known(list[0], lists)
		}
	case begins("{"):
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) == nil {
			return known(members, objects)
		}
	}
	return nil
}

// other is a file that has no tokens, or has them in a form that nothing here reads.
type other struct {
	members []string // which it has
	what    string
}

var lists = []other{
	{[]string{"_clientId"}, "these are tokens of ADAL, which azure-cli before 2.30 wrote; a newer azure-cli signs in anew"},
	{[]string{"client_id", "client_secret"}, servicePrincipals},
	{[]string{"client_id", "certificate"}, servicePrincipals},
	{[]string{"client_id", "tenant"}, servicePrincipals},
	{[]string{"Key", "Value"}, "this is a cache of MSAL.NET 2, which later versions replace by another form"},
}

const servicePrincipals = "these are azure-cli's service principals: secrets of applications, and no tokens; graphtoken signs an application in with its secret or certificate"

var objects = []other{
	{[]string{"subscriptions"}, "this is azure-cli's list of subscriptions; its tokens are in msal_token_cache.json beside it"},
	{[]string{"accessToken", "expiresOn"}, "this is what \"az account get-access-token\" prints, an access token alone; azure-cli's tokens are in ~/.azure/msal_token_cache.json"},
	{[]string{"homeAccountId", "authority"}, "this is an authentication record of Azure's SDKs, which names an account and has no token"},
}

func known(members map[string]json.RawMessage, all []other) error {
	for _, o := range all {
		has := true
		for _, name := range o.members {
			_, there := members[name]
			has = has && there
		}
		if has {
			return fmt.Errorf("%w: %s", ErrNoTokens, o.what)
		}
	}
	return nil
}

// check refuses a cache without tokens, and text that a provider never writes.
func check(c *tokencache.Cache) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(data, &document); err != nil {
		return err
	}
	tokens := 0
	for _, name := range []string{"AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata"} {
		var entries map[string]map[string]any
		if len(document[name]) == 0 || json.Unmarshal(document[name], &entries) != nil {
			continue // entries that are no objects are kept, and not used
		}
		for key, members := range entries {
			if client, _ := members["client_id"].(string); client != "" && (name == "AccessToken" || name == "RefreshToken") {
				tokens++ // without its application, nobody finds it
			}
			if !printable(key) {
				return fmt.Errorf("%w: the name of an entry in its section %s", ErrUnfit, name)
			}
			for member, value := range members {
				text, _ := value.(string)
				if !printable(text) || member == "secret" && strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
					return fmt.Errorf("%w: the member %q of an entry in its section %s", ErrUnfit, member, name)
				}
			}
		}
	}
	if tokens == 0 {
		return ErrNoTokens
	}
	return nil
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

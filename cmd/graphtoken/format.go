package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/graphtoken/graphtoken/agent/client"
)

// formats are those of token --format, by what takes them.
var formats = map[string]func(client.Token) (string, error){
	// A shell: $(graphtoken token).
	"text": func(t client.Token) (string, error) { return t.AccessToken, nil },
	// curl -H @-
	"header": func(t client.Token) (string, error) { return "Authorization: Bearer " + t.AccessToken, nil },
	// Programs that read what "az account get-access-token" prints.
	"json": func(t client.Token) (string, error) {
		data, err := json.MarshalIndent(t, "", "  ")
		return string(data), err
	},
	// Mail programs: https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
	"xoauth2": func(t client.Token) (string, error) {
		if t.User == "" || strings.ContainsFunc(t.User, isControl) {
			return "", errors.New("xoauth2 needs the user's name, and the record has none")
		}
		return base64.StdEncoding.EncodeToString([]byte("user=" + t.User + "\x01auth=Bearer " + t.AccessToken + "\x01\x01")), nil
	},
	// eval "$(graphtoken token --format env)", or a file of variables.
	"env": func(t client.Token) (string, error) {
		return fmt.Sprintf("GRAPHTOKEN_ACCESS_TOKEN='%s'\nGRAPHTOKEN_EXPIRES_ON='%d'", t.AccessToken, t.ExpiresOn.Unix()), nil
	},
}

func isControl(r rune) bool { return r < ' ' || r == '\x7f' }

// reveal prints a token. It goes into headers and commands unchanged, so a line break in
// it would begin another header, and a quote would end a shell's word. RFC 6749, appendix
// A.12, lists the characters of a token.
func reveal(w io.Writer, t client.Token, format string) error {
	if strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r < ' ' || r > '~' }) || format == "env" && strings.Contains(t.AccessToken, "'") {
		return errMalformedToken
	}
	text, err := formats[format](t)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, text)
	return err
}

// errMalformedToken is an error of the record. A provider's answer with such a token is
// refused before it is stored.
var errMalformedToken = errors.New("the stored access token has characters that no token has (RFC 6749 appendix A.12), and is not printed")

// challenge is a claims challenge as JSON, given as that or in base64, as resources send it.
func challenge(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || json.Valid([]byte(text)) {
		return text, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(text); err == nil && json.Valid(decoded) {
			return string(decoded), nil
		}
	}
	return "", usageError("--claims is a claims challenge: JSON, or that in base64 as WWW-Authenticate has it")
}

package bitwardenclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// struck replaces a secret.
const struck = "[secret]"

// credentials match what a server, or a proxy in front of it, may repeat of a request:
// the login's form, a header, a bearer token (a JWT, RFC 7519), an access token.
var credentials = regexp.MustCompile(`(?i)(client_secret["']?\s*[:=]\s*["']?|\bbearer\s+)[^\s"'&,;}]+` +
	`|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?` +
	`|\b0\.[\da-f]{8}-[\da-f-]{27}\.[^\s"':]+(?::[\w+/=-]*)?`)

// shown is a server's text, safe for a terminal and without secrets: without those given,
// which were sent to the server, and without anything that looks like a credential.
func shown(text string, secrets ...string) string {
	strike := func(text string) string {
		for _, secret := range secrets {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, struck)
			}
		}
		return credentials.ReplaceAllString(text, "${1}"+struck)
	}
	// A character that Printable removes may have been put into a secret to hide it.
	return strike(core.Printable(strike(text)))
}

// unreadable is the error for an answer that isn't JSON, or isn't the expected JSON.
// Errors of package json quote their input, so its text is left out.
func unreadable(whose string, err error) error {
	text := whose + " answer is not understood"
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		text += ": " + wrong.Field + " is another type than expected"
	}
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok {
		text += fmt.Sprintf(": it is no JSON, at byte %d", broken.Offset)
	}
	return errors.New(shown(text))
}

// sdkError is an error of the official SDK whose own text must not be shown.
type sdkError struct {
	text  string
	cause func() error // a function, because reflection can't look into one
}

func (e *sdkError) Error() string { return e.text }
func (e *sdkError) Unwrap() error { return e.cause() }

// SDKError returns an error of the official SDK without the secrets in its text (the
// access token, or what looks like a credential) and without control characters: the SDK
// repeats the server's text. It wraps err. It is nil if err is nil.
func SDKError(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	for _, secret := range secrets {
		secrets = append(secrets, strings.FieldsFunc(secret, func(r rune) bool { return r == '.' || r == ':' })...)
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return len(s) < minStruck || IsUUID(s) })
	return &sdkError{shown(err.Error(), secrets...), func() error { return err }}
}

// minStruck is the length from which a text is treated as a secret. Otherwise the version
// number of an access token would count as one.
const minStruck = 4

// Package said makes what Bitwarden's servers and its SDK said fit to be shown.
package said

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// struck stands where a secret was.
const struck = "[secret]"

// credentials are what a server, or a proxy before it, may repeat of a request:
// the login's form, a header, a bearer token (a JWT, RFC 7519), an access token.
var credentials = regexp.MustCompile(`(?i)(client_secret["']?\s*[:=]\s*["']?|\bbearer\s+)[^\s"'&,;}]+` +
	`|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?` +
	`|\b0\.[\da-f]{8}-[\da-f-]{27}\.[^\s"':]+(?::[\w+/=-]*)?`)

// Text is what a server said, without secrets and fit for a terminal. Secrets are
// those that it was sent; what looks like one is struck out besides.
func Text(text string, secrets ...string) string {
	strike := func(text string) string {
		for _, secret := range secrets {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, struck)
			}
		}
		return credentials.ReplaceAllString(text, "${1}"+struck)
	}
	// What Printable takes away may have been put into a secret, to hide the secret.
	return strike(core.Printable(strike(text)))
}

// said is an error whose own text isn't to be shown.
type said struct {
	text  string
	cause func() error // a function, because reflection can't look into one
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.cause() }

// Unreadable is the error of an answer that is no JSON, or other JSON than is
// expected. Errors of package json quote what they were given, so that err stays out
// of it.
func Unreadable(whose string, err error) error {
	text := whose + " answer is not understood"
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		text += ": " + wrong.Field + " is another type than expected"
	}
	if broken := (*json.SyntaxError)(nil); errors.As(err, &broken) {
		text += fmt.Sprintf(": it is no JSON, at byte %d", broken.Offset)
	}
	return errors.New(Text(text))
}

// SDKError returns an error of the official SDK's without the secrets in its text
// (the access token, or what looks like a credential) and without control
// characters: the SDK repeats what the server said. It wraps err, and is nil where
// err is.
func SDKError(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	for _, secret := range secrets {
		secrets = append(secrets, strings.FieldsFunc(secret, func(r rune) bool { return r == '.' || r == ':' })...)
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return len(s) < minStruck || uuid.MatchString(s) })
	return &said{Text(err.Error(), secrets...), func() error { return err }}
}

// minStruck keeps the version number of an access token from being taken for a
// secret.
const minStruck = 4

var uuid = regexp.MustCompile(`(?i)^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$`)

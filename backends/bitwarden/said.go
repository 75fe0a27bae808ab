package bitwarden

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
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

// said is what a server said, without secrets and fit for a terminal. Secrets are
// those that it was sent; what looks like one is struck out besides.
func said(text string, secrets ...string) string {
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

// saidError is an error whose own text isn't to be shown.
type saidError struct {
	text  string
	cause func() error // a function, because reflection can't look into one
}

func (e *saidError) Error() string { return e.text }
func (e *saidError) Unwrap() error { return e.cause() }

// unreadable is the error of an answer that is no JSON, or other JSON than is
// expected. Errors of package json quote what they were given, so that err stays out
// of it.
func unreadable(whose string, err error) error {
	text := whose + " answer is not understood"
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		text += ": " + wrong.Field + " is another type than expected"
	}
	if broken := (*json.SyntaxError)(nil); errors.As(err, &broken) {
		text += fmt.Sprintf(": it is no JSON, at byte %d", broken.Offset)
	}
	return errors.New(said(text))
}

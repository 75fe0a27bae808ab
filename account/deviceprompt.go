package account

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/graphtoken/graphtoken/core"
)

// DeviceCodePrompt returns a Prompt for a user whose browser runs on another device. It
// shows on out which page to open there and which code to enter (RFC 8628), and waits.
// The application must be registered to allow public client flows.
//
// A tenant can forbid this way to sign in. Only the user may see the code: a person who
// enters it is signed in to this program.
func DeviceCodePrompt(out io.Writer) Prompt { return devicePrompt{out} }

type devicePrompt struct{ out io.Writer }

// SignIn implements [Prompt].
func (d devicePrompt) SignIn(ctx context.Context, t *Attempt) error {
	return t.DeviceCode(ctx, func(code DeviceCode) error {
		if err := showable(code.VerificationURL); err != nil {
			return err
		}
		if code.UserCode == "" {
			return errors.New("the provider gave no code to enter")
		}
		until := ""
		if !code.Expires.IsZero() {
			until = code.Expires.Local().Format(", which expires at 15:04")
		}
		_, err := fmt.Fprintf(d.out, "Open this page in a browser on any device:\n\n    %s\n\nEnter this code%s:\n\n    %s\n\n", code.VerificationURL, until, core.Printable(code.UserCode))
		return err
	})
}

package account

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// DeviceCode is what a user needs who signs in on another device (RFC 8628). What
// the program itself polls with is not in it.
type DeviceCode struct {
	UserCode        string    // to enter at VerificationURL
	VerificationURL string    // https://microsoft.com/devicelogin, for one
	Message         string    // the provider's sentence for the user, which has both
	Expires         time.Time // when the user must have entered it
}

// Format shows the page and not the code, whatever the verb: in a log, the code would
// let its reader sign somebody in to this program.
func (d DeviceCode) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "sign-in at "+d.VerificationURL)
}

func (p *App) deviceCode(ctx context.Context, into *Account, o AuthOptions, show func(DeviceCode) error) (*Account, error) {
	return nil, errNotYet
}

func (p *App) password(ctx context.Context, into *Account, o AuthOptions, username string, password tokencache.Secret) (*Account, error) {
	return nil, errNotYet
}

func (p *App) onBehalfOf(ctx context.Context, assertion tokencache.Secret) (*Account, error) {
	return nil, errNotYet
}

var errNotYet = fmt.Errorf("account: not here yet")

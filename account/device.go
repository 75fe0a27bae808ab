package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// DeviceCode is what a user needs to sign in on another device (RFC 8628). The secret
// with which the program itself asks for the result is not in it.
type DeviceCode struct {
	UserCode        string    // to enter at VerificationURL
	VerificationURL string    // for example https://microsoft.com/devicelogin
	Message         string    // the provider's sentence for the user, with both of these
	Expires         time.Time // when the user must have entered it
}

// Format shows the page and not the code, whatever the verb. In a log, the code would let
// a reader sign a user in to this program.
func (d DeviceCode) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "sign-in at "+d.VerificationURL)
}

// LogValue is Format for package log/slog, whose JSON handler would show the fields.
func (d DeviceCode) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }

// deviceCode signs in by device code.
func (p *App) deviceCode(ctx context.Context, into *Account, o AuthOptions, show func(DeviceCode) error) (*Account, error) {
	if show == nil {
		return nil, errors.New("account: sign in: DeviceCode needs a function that shows the code")
	}
	return p.userSignIn(ctx, into, o, func() (tokencache.TokenResponse, error) {
		code, err := p.client.BeginDeviceCode(ctx, msal.DeviceRequest{Tenant: tenantOf(into, o), Scopes: p.scopesOf(o), Claims: o.Claims})
		if err != nil {
			return tokencache.TokenResponse{}, err
		}
		if err := show(DeviceCode{UserCode: code.UserCode, VerificationURL: code.VerificationURL, Message: code.Message, Expires: code.Expires}); err != nil {
			return tokencache.TokenResponse{}, fmt.Errorf("show the device code: %w", err)
		}
		return p.client.RedeemDeviceCode(ctx, code)
	})
}

package azcore

import (
	"context"
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/core"
)

// The three kinds of errors are those of azidentity, whose types can't be used without
// importing it. A program that looks for azidentity's errors looks for these, too. The
// pipelines of the Azure SDK retry none of them (NonRetriable), because the store has
// done what can be done. Each shows and wraps its cause.

// AuthenticationRequiredError says that the user has to sign in (again). It is the
// counterpart of azidentity.AuthenticationRequiredError. It wraps
// [core.ErrReauthRequired] and, as azidentity's does, an [*UnavailableError].
type AuthenticationRequiredError struct {
	// TokenRequestOptions is the request that needs the sign-in.
	TokenRequestOptions policy.TokenRequestOptions

	failure
}

// UnavailableError says that the store can't be used, so nobody knows whether there is a
// token. It is the counterpart of the azidentity error after which a chain of credentials
// tries the next. For that, set [Options.Unavailable].
type UnavailableError struct{ failure }

// AuthenticationFailedError is every other failure: the provider refused the request or
// can't be reached, the record is broken, or the request can't be served. It is the
// counterpart of azidentity.AuthenticationFailedError.
type AuthenticationFailedError struct{ failure }

// failure has what the kinds have in common.
type failure struct {
	text string
	errs []error
}

func (f *failure) Error() string { return f.text }

// Unwrap returns the cause, and a second error: of an AuthenticationRequiredError an
// UnavailableError, and of that what Options.Unavailable made.
func (f *failure) Unwrap() []error { return f.errs }

// NonRetriable marks the error for the pipelines of the Azure SDK.
func (*failure) NonRetriable() {}

// explain tells the kind of a token source's error.
func (c *Credential) explain(ctx context.Context, o policy.TokenRequestOptions, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	var ofStore *core.Error
	switch {
	case errors.Is(err, core.ErrReauthRequired):
		text := "graphtoken: the user must sign in again: " + core.Printable(err.Error())
		return &AuthenticationRequiredError{o, failure{text, []error{err, c.unavailable(text, err)}}}
	case errors.As(err, &ofStore) && ofStore.FromBackend():
		return c.unavailable("graphtoken: the store can't be used: "+core.Printable(err.Error()), err)
	}
	return failed(err)
}

func (c *Credential) unavailable(text string, cause error) error {
	f := failure{text, []error{cause}}
	if c.options.Unavailable != nil {
		f.errs = append(f.errs, c.options.Unavailable(text))
	}
	return &UnavailableError{f}
}

func failed(cause error) error {
	return &AuthenticationFailedError{failure{"graphtoken: no token: " + core.Printable(cause.Error()), []error{cause}}}
}

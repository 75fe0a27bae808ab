package account_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"iter"
	"net/http"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Programs outside are compiled against these (docs/contract.md).
var (
	_ = account.Config{
		ClientID: "", Credential: account.Credential{}, Authority: "", Tenant: "", Scopes: []string(nil), RedirectURL: "", Username: "",
		HTTPClient: (*http.Client)(nil), DisableInstanceDiscovery: false,
	}
	_ func(string, ...string) account.Credential                                                    = account.Secret
	_ func([]*x509.Certificate, crypto.PrivateKey) account.Credential                               = account.Certificate
	_ func(string, string) (account.Credential, error)                                              = account.LoadCertificate
	_ func(string, crypto.PrivateKey) account.Credential                                            = account.Thumbprint
	_ func(func(context.Context) (string, error)) account.Credential                                = account.Assertion
	_ func(context.Context) (string, error)                                                         = account.WorkloadIdentity
	_ func(*core.Store, account.Config) (*account.App, error)                                       = account.NewApp
	_ func(*account.App, context.Context, account.AuthOptions) (string, account.Flow, error)        = (*account.App).AuthURL
	_ func(*account.App, context.Context, account.Flow, string) (*account.Account, error)           = (*account.App).SignIn
	_ func(*account.App, context.Context) (*account.Account, error)                                 = (*account.App).SignInApp
	_ func(*account.App, context.Context, tokencache.Secret) (*account.Account, error)              = (*account.App).OnBehalfOf
	_ func(*account.App, context.Context, func(account.DeviceCode) error) (*account.Account, error) = (*account.App).DeviceCode
	_ func(*account.App, string) *account.Account                                                   = (*account.App).Account
	_ func(*account.App, context.Context) iter.Seq2[*account.Account, error]                        = (*account.App).Accounts
	_ func(*core.Store, string, account.Config) (*account.Account, error)                           = account.New
	_ func(*account.Account) tokencache.Account                                                     = (*account.Account).User
	_ func(*account.Account, ...string) *core.TokenSource                                           = (*account.Account).TokenSource
	_ func(*account.Account) *http.Client                                                           = (*account.Account).HTTPClient
	_ func(*account.Account, context.Context) (bool, error)                                         = (*account.Account).IsAuthenticated
	_ func(*account.Account, context.Context, account.Prompt, account.AuthOptions) error            = (*account.Account).Authenticate
	_ func(*account.Account, context.Context) error                                                 = (*account.Account).SignOut
)

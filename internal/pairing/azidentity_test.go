package pairing

import (
	"context"
	"errors"
	"testing"
	"time"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const graphDefault = "https://graph.microsoft.com/.default"

func contextOfOneMinute() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

func newStore(t testing.TB) *core.Store {
	t.Helper()
	backend, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return core.NewStore(backend)
}

// clientOptions send azidentity's requests to the imitation, each once.
func clientOptions(idp *entra.Server) sdk.ClientOptions {
	return sdk.ClientOptions{Transport: idp.HTTPClient(), Retry: policy.RetryOptions{MaxRetries: -1}}
}

func secretCredential(t testing.TB, idp *entra.Server, secret string) *azidentity.ClientSecretCredential {
	t.Helper()
	c, err := azidentity.NewClientSecretCredential(entra.Tenant, entra.ConfidentialClient, secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: clientOptions(idp)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func forGraph() policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{graphDefault}}
}

// stored is a credential whose tokens come from a store, which gets them by refresh.
func stored(store *core.Store, refresh core.RefreshFunc, o azcore.Options) *azcore.Credential {
	return azcore.New(azcore.SourceFunc(func(scopes ...string) *core.TokenSource {
		return store.TokenSource("key", tokencache.Query{Scopes: scopes}, refresh)
	}), o)
}

func TestACredentialOfAzidentityIsStoredAndServed(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	store := newStore(t)
	refresh := azcore.Refresh(secretCredential(t, idp, entra.ConfidentialSecret))
	first, err := stored(store, refresh, azcore.Options{}).GetToken(t.Context(), forGraph())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idp.Verify(first.Token); err != nil {
		t.Error(err)
	}
	second, err := stored(store, azcore.Refresh(secretCredential(t, idp, "wrong")), azcore.Options{}).GetToken(t.Context(), forGraph())
	if err != nil || second.Token != first.Token {
		t.Errorf("the stored token was not served: %v", err)
	}
}

func TestErrorsOfAzidentityHaveTheirScope(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	device, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: clientOptions(idp), ClientID: entra.PublicClient, TenantID: entra.Tenant, DisableAutomaticAuthentication: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		that       string
		credential func(t *testing.T) sdk.TokenCredential
		fault      entra.Fault
		scope      core.FailureScope
		reauth     bool
		retryAfter time.Duration
	}{
		{"nobody signed in", func(*testing.T) sdk.TokenCredential { return device }, entra.Fault{}, core.FailureOfUser, true, 0},
		{"a wrong secret", func(t *testing.T) sdk.TokenCredential { return secretCredential(t, idp, "wrong") }, entra.Fault{}, core.FailureOfProvider, false, 0},
		{"an overloaded provider", func(t *testing.T) sdk.TokenCredential { return secretCredential(t, idp, entra.ConfidentialSecret) },
			entra.Throttled(2 * time.Minute), core.FailureOfProvider, false, 2 * time.Minute},
		{"a refused scope", func(t *testing.T) sdk.TokenCredential { return secretCredential(t, idp, entra.ConfidentialSecret) },
			entra.Fault{Status: 400, Body: `{"error":"invalid_scope","error_description":"no"}`}, core.FailureOfRequest, false, 0},
		{"a grant that is spent", func(t *testing.T) sdk.TokenCredential { return secretCredential(t, idp, entra.ConfidentialSecret) },
			entra.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"no"}`}, core.FailureOfUser, true, 0},
		{"no Azure CLI", noAzureCLI, entra.Fault{}, core.FailureOfProvider, false, 0},
	} {
		t.Run(row.that, func(t *testing.T) {
			credential := row.credential(t)
			if row.fault.Status != 0 {
				idp.Inject("client_credentials", row.fault)
			}
			err := azcore.Refresh(credential)(t.Context(), tokencache.New(), core.Refresh{Query: tokencache.Query{Scopes: []string{graphDefault}}})
			var scoped interface{ FailureScope() core.FailureScope }
			if !errors.As(err, &scoped) || scoped.FailureScope() != row.scope || errors.Is(err, core.ErrReauthRequired) != row.reauth {
				t.Errorf("%T: %v", err, err)
			}
			var retry interface{ RetryAfter() time.Duration }
			if !errors.As(err, &retry) || retry.RetryAfter() != row.retryAfter {
				t.Errorf("the provider wants to be left alone for another time than %v", row.retryAfter)
			}
		})
	}
}

func noAzureCLI(t *testing.T) sdk.TokenCredential {
	t.Setenv("PATH", t.TempDir())
	cli, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cli
}

func TestAChainGoesOnWhereNobodyIsSignedIn(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	for _, row := range []struct {
		that string
		o    azcore.Options
		goes bool
	}{
		{"with azidentity's constructor it does", azcore.Options{Unavailable: azidentity.NewCredentialUnavailableError}, true},
		{"without, azidentity can't tell", azcore.Options{}, false},
	} {
		t.Run(row.that, func(t *testing.T) {
			chain, err := azidentity.NewChainedTokenCredential([]sdk.TokenCredential{
				stored(newStore(t), nil, row.o), secretCredential(t, idp, entra.ConfidentialSecret),
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			token, err := chain.GetToken(t.Context(), forGraph())
			if goes := err == nil && token.Token != ""; goes != row.goes {
				t.Errorf("%v", err)
			}
		})
	}
}

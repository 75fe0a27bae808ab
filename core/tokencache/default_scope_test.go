package tokencache_test

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestTheDefaultScopeMeansEveryTokenOfItsResource(t *testing.T) {
	for _, row := range []struct {
		that        string
		has         string
		environment string
		want        string
		found       bool
	}{
		{"a token with Graph's scopes is found by Graph's default", "User.Read Mail.Read", "", "https://graph.microsoft.com/.default", true},
		{"letter case doesn't matter", "User.Read", "", "HTTPS://Graph.Microsoft.com/.DEFAULT", true},
		{"the default without a resource is Graph's", "User.Read", "", ".default", true},
		{"Graph's application ID is Graph", "https://graph.microsoft.com/User.Read", "", "00000003-0000-0000-c000-000000000000/.default", true},
		{"two slashes are one", "User.Read", "", "https://graph.microsoft.com//.default", true},
		{"another cloud's Graph is another resource", "https://graph.microsoft.us/User.Read", "", "https://graph.microsoft.com/.default", false},
		{"a cloud's Graph is found there", "User.Read", "login.microsoftonline.us", "https://graph.microsoft.us/.default", true},
		{"Graph's token is not the vault's", "User.Read", "", "https://vault.azure.net/.default", false},
		{"the vault's token is not Graph's", "https://vault.azure.net/user_impersonation", "", "https://graph.microsoft.com/.default", false},
		{"the vault's default finds the vault's token", "https://vault.azure.net/user_impersonation", "", "https://vault.azure.net/.default", true},
		{"a resource that ends in a slash has two", "https://management.core.windows.net//user_impersonation", "", "https://management.core.windows.net//.default", true},
		{"an application ID URI is a resource", "api://5d5c/Orders.Read", "", "api://5d5c/.default", true},
		{"another application's is not", "api://5d5c/Orders.Read", "", "api://5d5d/.default", false},
		{"a resource below another is another", "https://contoso.com/app/Read", "", "https://contoso.com/.default", false},
		{"a resource whose name begins alike is another", "https://contoso.com/app2/Read", "", "https://contoso.com/app/.default", false},
		{"what only signs in is of no resource", "openid profile offline_access", "", "https://graph.microsoft.com/.default", false},
		{"each default that is wanted must be met", "User.Read", "", "https://graph.microsoft.com/.default https://vault.azure.net/.default", false},
	} {
		t.Run(row.that, func(t *testing.T) {
			c := tokencache.New()
			put(t, c, tokencache.TokenResponse{AccessToken: "at", Scope: row.has, ExpiresIn: 60, ClientID: "app", HomeAccountID: "u.t",
				Environment: row.environment, Sent: time.Unix(1000, 0)})
			_, found := c.AccessToken(tokencache.Query{Scopes: []string{row.want}})
			if found != row.found {
				t.Errorf("a token of %q for %q: found is %v", row.has, row.want, found)
			}
		})
	}
}

func TestATokenWithFewerScopesDoesNotReplaceTheDefaultOnes(t *testing.T) {
	c := tokencache.New()
	r := tokencache.TokenResponse{AccessToken: "default", Scope: "https://graph.microsoft.com/.default", ExpiresIn: 90, ClientID: "app", HomeAccountID: "u.t", Sent: time.Unix(1000, 0)}
	put(t, c, r)
	r.AccessToken, r.Scope, r.ExpiresIn = "narrow", "User.Read", 60
	put(t, c, r)
	if at, ok := c.AccessToken(tokencache.Query{Scopes: []string{"https://graph.microsoft.com/.default"}}); !ok || at.Secret != "default" {
		t.Errorf("the default token is gone: %v, %v", ok, at.Scopes)
	}
}

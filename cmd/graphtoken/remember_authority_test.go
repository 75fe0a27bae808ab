package main

import (
	"testing"

	"github.com/graphtoken/graphtoken/account"
)

func TestARememberedAuthorityIsTheProviderWithItsTenant(t *testing.T) {
	for _, c := range []struct {
		name, authority, tenant string
		want                    string // remembered
		without                 string // that, when a flag names another tenant
	}{
		{"nothing is named", "", "", "", ""},
		{"a tenant of the public cloud", "", "contoso.com", "https://login.microsoftonline.com/contoso.com", "https://login.microsoftonline.com"},
		{"a provider", "https://login.microsoftonline.us", "", "https://login.microsoftonline.us", "https://login.microsoftonline.us"},
		{"a provider with a tenant", "https://login.microsoftonline.us/contoso.com/", "", "https://login.microsoftonline.us/contoso.com", "https://login.microsoftonline.us"},
		{"a provider and a tenant", "https://127.0.0.1:8443", "common", "https://127.0.0.1:8443/common", "https://127.0.0.1:8443"},
		{"federation services", "https://idp.example/adfs", "", "https://idp.example/adfs", "https://idp.example/adfs"},
		{"a policy of B2C", "https://x.b2clogin.com/x.onmicrosoft.com/b2c_1", "", "https://x.b2clogin.com/x.onmicrosoft.com/b2c_1", "https://x.b2clogin.com/x.onmicrosoft.com/b2c_1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := authorityOf(account.Config{Authority: c.authority, Tenant: c.tenant})
			if got != c.want {
				t.Errorf("the record remembers %q, want %q", got, c.want)
			}
			if got := withoutTenant(got); got != c.without {
				t.Errorf("for another tenant it is %q, want %q", got, c.without)
			}
		})
	}
}

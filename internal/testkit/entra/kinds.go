package entra

import (
	"net/http"
	"strings"
)

// Hosts of the providers that are no Entra, and are imitated too: Azure AD B2C, a
// customers' tenant (CIAM), and Active Directory Federation Services. Each answers at
// its own name alone.
const (
	B2CHost       = "contoso.b2clogin.com"
	CustomersHost = "contoso.ciamlogin.com"
	ADFSHost      = "adfs.contoso.com"
	// B2CAuthority has the policy behind the tenant.
	B2CAuthority = "https://" + B2CHost + "/contoso.onmicrosoft.com/b2c_1_susi"
	// CustomersAuthority names no tenant: the host does.
	CustomersAuthority = "https://" + CustomersHost
	ADFSAuthority      = "https://" + ADFSHost + "/adfs"
)

// provider is what of a provider a request was sent to, as the request names it.
type provider struct {
	base   string // https://host
	tenant string // the first segment of the path; "adfs"
	policy string // of B2C
}

func providerOf(r *http.Request) provider {
	p := provider{base(r), r.PathValue("tenant"), r.PathValue("policy")}
	if strings.HasPrefix(r.URL.Path, "/adfs/") {
		p.tenant = "adfs"
	}
	return p
}

func (p provider) isADFS() bool { return p.tenant == "adfs" }

// at is where the provider's endpoints are.
func (p provider) at() string {
	switch {
	case p.isADFS():
		return p.base + "/adfs/oauth2"
	case p.policy != "":
		return p.base + "/" + p.tenant + "/" + p.policy + "/oauth2/v2.0"
	}
	return p.base + "/" + p.tenant + "/oauth2/v2.0"
}

// issuer is whose id tokens of users of a tenant are; a tenant of "{tenantid}" is any.
func (p provider) issuer(tenant string) string {
	switch {
	case p.isADFS():
		return p.base + "/adfs"
	case p.policy != "":
		return p.base + "/" + tenant + "/v2.0/" // with a slash, as B2C's
	case p.base == CustomersAuthority:
		return "https://" + tenant + ".ciamlogin.com/" + tenant + "/v2.0"
	}
	return p.base + "/" + tenant + "/v2.0"
}

// claims are those that tell users of the provider apart.
func (p provider) claims(u *User, claims map[string]any) {
	switch {
	case p.isADFS(): // https://learn.microsoft.com/windows-server/identity/ad-fs/overview/ad-fs-openid-connect-oauth-concepts
		for _, name := range []string{"oid", "tid", "name", "preferred_username", "ver", "uti"} {
			delete(claims, name)
		}
		claims["upn"], claims["unique_name"] = u.Username, `CONTOSO\`+u.Name
	case p.policy != "": // https://learn.microsoft.com/azure/active-directory-b2c/tokens-overview#claims
		for _, name := range []string{"tid", "preferred_username", "uti"} {
			delete(claims, name)
		}
		claims["ver"], claims["tfp"], claims["emails"] = "1.0", p.policy, []string{u.Username}
	}
}

// clientInfo is what MSAL makes its home account id of (MSAL Go, tokens.go: ClientInfo);
// a server of Active Directory's own knows none.
func (p provider) clientInfo(u *User) string {
	uid := u.ObjectID
	switch {
	case p.isADFS():
		return ""
	case p.policy != "":
		uid += "-" + p.policy
	}
	return b64([]byte(`{"uid":"` + uid + `","utid":"` + u.TenantID + `"}`))
}

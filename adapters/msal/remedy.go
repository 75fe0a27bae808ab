package msal

import "strings"

// Remedy tells in a sentence what a person can do about the refusal. It is "" if nothing
// better is known than the provider's own text. It is part of the error's text.
func (e *Error) Remedy() string {
	for _, number := range e.numbers() {
		if remedy, known := remedies[number]; known {
			return remedy
		}
	}
	if e.discovery {
		return "" // about no grant
	}
	return codeRemedies[e.Code]
}

// Remedies that several refusals have in common.
const (
	consent = "the user must agree to what is asked for: sign in again with these scopes, with the prompt \"consent\""
	byAdmin = "an administrator must agree for the organization: in the Entra admin center, at the application's API permissions, by \"Grant admin consent\""
	policy  = "a policy of the organization (conditional access) forbids this way to sign in: a device code or a password doesn't show which device it is; " +
		"sign in with a browser on a device that the organization manages, or ask the administrator which policy it was"
	secondFactor = "the user must confirm with a second factor: sign in again with a browser"
	tenant       = "the tenant is another one: compare it with the application's overview in the Entra admin center; an application of one tenant needs that tenant's ID, and \"common\" only does for one of several"
	again        = "the user must sign in again"
	late         = "the code has expired: begin again, and enter it in time"
	certificate  = "the certificate is not the application's, or the clock of this machine is wrong: compare the thumbprint with Certificates & secrets in the Entra admin center"
	federation   = "the assertion is none that the application trusts: compare its issuer, subject and audience with the federated credential in the Entra admin center"
	scope        = "the scope isn't one of that resource's: compare it with the application's API permissions, prefix included; one request is for one resource"
)

// remedies are by Microsoft's number.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var remedies = map[string]string{
	"65001": consent, "65004": "the user has declined; sign in again to agree",
	"90094": byAdmin, "90093": byAdmin, "90095": byAdmin, "650056": byAdmin, "650051": byAdmin, "650052": byAdmin,
	"50105": "an administrator must assign the user to the application, in the Entra admin center at Enterprise applications",

	"7000222": "the client secret has expired: make a new one at Certificates & secrets in the Entra admin center",
	"7000215": "the client secret is wrong: it is the secret's value, and not its ID",
	"50012":   "the credential is wrong: a secret's value is wanted, and not its ID; a certificate must be the application's",
	"7000216": "the application needs a credential",
	"7000218": "the application needs a credential; or, where it can keep none, its registration must allow public client flows (Authentication, Advanced settings)",
	"700025":  "the application is a public client, and is given no credential; or its redirect URL is registered for the wrong platform (Web is for a credential)",
	"700027":  certificate, "700024": certificate, "7000214": certificate,
	"70021": federation, "700211": federation, "700212": federation, "700213": federation,

	"700016": tenant, "90002": tenant, "50194": tenant, "50059": tenant, "700011": tenant,
	"9002332": "the application is for work and school accounts alone: the tenant is \"organizations\", or one organization's ID", "9002346": "the application is for personal accounts alone: the tenant is \"consumers\"",
	"50020": "the user is none of this tenant's: invite them as a guest, or sign in at their own tenant",
	"90072": "the user is none of this tenant's: invite them as a guest, or sign in at their own tenant",
	"50034": "the user is none of this tenant's: compare the name, or sign in at their own tenant",

	"50005": policy, "53000": policy, "53001": policy, "53002": policy, "53003": policy, "53004": policy, "53005": policy, "530031": policy, "530032": policy, "530033": policy, "530034": policy, "530035": policy,
	"50072": secondFactor, "50074": secondFactor, "50076": secondFactor, "50078": secondFactor, "50079": secondFactor, "50158": secondFactor,

	"70008": again, "700082": again, "50173": again, "70043": again, "70044": again, "50132": again, "50133": again,
	"700084":  "the user must sign in again: a refresh token of a single-page application lives 24 hours; a redirect URL of the platform Web, or Mobile and desktop, has 90 days",
	"9002327": "the redirect URL is registered as a single-page application's: register it for the platform Web, or Mobile and desktop",
	"50055":   "the password has expired: the user changes it by signing in with a browser",
	"50057":   "the account is disabled: an administrator can enable it",
	"50126":   "the name or the password is wrong",

	"70019": late, "70020": late,
	"70018": "the code is none of the provider's, or was typed wrong: begin again, and enter it as it is shown",

	"50011": "the redirect URL is not registered: add it, letter by letter, at Authentication in the Entra admin center", "500112": "the redirect URL must be the one that the sign-in began with",
	"54005": "the code was redeemed before: begin the sign-in again", "9002313": "the code is none of the provider's, or was cut: begin the sign-in again",

	"70011": scope, "28000": scope, "28003": scope, "650053": scope, "65005": scope, "500011": scope, "700022": scope,
	"1002012": "an application that signs in itself asks for the resource's /.default",
}

// codeRemedies are the remedies by the code of RFC 6749 and RFC 8628, for a refusal
// without a known number.
var codeRemedies = map[string]string{
	"access_denied":          "the user, or an administrator's policy, has declined; sign in again to agree",
	"consent_required":       consent,
	"interaction_required":   again,
	"login_required":         again,
	"authorization_declined": "the user has declined; begin again",
	"expired_token":          late,
	"code_expired":           late, // of the older endpoint
	"bad_verification_code":  "the code is none of the provider's, or was typed wrong: begin again, and enter it as it is shown",
	"invalid_grant":          again,
}

// withRemedy returns a refusal's text with its remedy.
func withRemedy(text, remedy string) string {
	if remedy == "" {
		return text
	}
	return strings.TrimRight(text, ". ") + ". What to do: " + remedy
}

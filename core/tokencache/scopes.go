package tokencache

import (
	"slices"
	"strings"
)

// SplitScopes returns scopes as a list of single scopes. A text with several scopes
// ("User.Read Mail.Read", "User.Read, Mail.Read") is split at white space and commas.
// Empty scopes are dropped, and each scope occurs once, at its first place. No scope
// contains white space or a comma (RFC 6749 section 3.3, and Microsoft's resources have
// none that does). The list is a new slice.
func SplitScopes(scopes ...string) []string { return slices.Clone(splitScopes(scopes...)) }

// splitScopes is SplitScopes for reading: scopes that are single already are
// returned in the same slice.
func splitScopes(scopes ...string) []string {
	if areSingle(scopes) {
		return scopes
	}
	var single []string
	for _, text := range scopes {
		for _, scope := range strings.FieldsFunc(text, separates) {
			if !slices.ContainsFunc(single, func(s string) bool { return strings.EqualFold(s, scope) }) {
				single = append(single, scope)
			}
		}
	}
	return single
}

func separates(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }

func areSingle(scopes []string) bool {
	for i, s := range scopes {
		if s == "" || strings.IndexFunc(s, separates) >= 0 ||
			slices.ContainsFunc(scopes[:i], func(other string) bool { return strings.EqualFold(s, other) }) {
			return false
		}
	}
	return true
}

// graphHosts are the hosts of Microsoft Graph in each cloud. A scope without a resource
// means Graph, and so does Graph's application ID, in whatever cloud the token was
// issued. A scope that names a host of another cloud, or the other host of the same
// cloud, belongs to another resource.
// https://learn.microsoft.com/graph/deployments#microsoft-graph-and-graph-explorer-service-root-endpoints
var graphHosts = map[string][]string{
	publicCloud:                        {"graph.microsoft.com"},
	"login.microsoftonline.us":         {"graph.microsoft.us", "dod-graph.microsoft.us"},
	"login.partner.microsoftonline.cn": {"microsoftgraph.chinacloudapi.cn"},
	"login.microsoftonline.de":         {"graph.microsoft.de"},
}

// graphID is Graph's application ID, the same in all clouds.
// https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in
const graphID = "00000003-0000-0000-c000-000000000000"

// graphsOf returns the hosts of Graph in a cloud; another provider's tokens are
// for the public one.
func graphsOf(cloud string) []string {
	if hosts, ok := graphHosts[cloud]; ok {
		return hosts
	}
	return graphHosts[publicCloud]
}

// bareScope splits a scope of Graph in a cloud into its name and the host that
// it was written with, "" if none. Entra takes one slash or two between them.
// The scope of another resource is all name.
func bareScope(scope, cloud string) (name, host string) {
	resource, rest, ok := cutResource(scope)
	if !ok {
		return scope, ""
	}
	if strings.EqualFold(resource, graphID) {
		return rest, ""
	}
	for _, h := range graphsOf(cloud) {
		if strings.EqualFold(resource, h) {
			return rest, h
		}
	}
	return scope, ""
}

// cutResource returns the host or ID of a scope's resource, and the scope's name.
func cutResource(scope string) (resource, name string, ok bool) {
	if strings.IndexByte(scope, '/') < 0 {
		return "", "", false
	}
	const https = "https://"
	if len(scope) > len(https) && strings.EqualFold(scope[:len(https)], https) {
		scope = scope[len(https):]
	}
	resource, name, _ = strings.Cut(scope, "/")
	name = strings.TrimLeft(name, "/")
	return resource, name, name != ""
}

// covers reports whether an access token has all of the scopes that are wanted.
func covers(e *entry, want []string) bool {
	of := cloud(e.field[environment])
	for _, w := range want {
		name, host := bareScope(w, of)
		if IsOpenIDScope(name) {
			continue
		}
		if !slices.ContainsFunc(e.scopes, func(h string) bool {
			hasName, hasHost := bareScope(h, of)
			return strings.EqualFold(hasName, name) && (hasHost == host || hasHost == "" || host == "")
		}) {
			return false
		}
	}
	return true
}

// answers reports whether an access token fits a query for the scopes: it covers them,
// and "<resource>/.default" means whatever scopes the token has of that resource. Which
// token a new one replaces is decided by covers alone: a token with fewer scopes must not
// replace the one with the default scopes.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc#the-default-scope
func answers(e *entry, want []string) bool {
	for i := range want {
		if !covers(e, want[i:i+1]) && !isOfResource(e, want[i]) {
			return false
		}
	}
	return true
}

// isOfResource reports whether an access token has a scope of the resource whose
// default scopes are wanted; false if want is no default scope.
func isOfResource(e *entry, want string) bool {
	of := cloud(e.field[environment])
	name, host := bareScope(want, of)
	if strings.EqualFold(name, defaultScope) { // Graph's
		return slices.ContainsFunc(e.scopes, func(has string) bool {
			hasName, hasHost := bareScope(has, of)
			return !IsOpenIDScope(hasName) && strings.IndexByte(hasName, '/') < 0 && (hasHost == host || hasHost == "" || host == "")
		})
	}
	resource, ok := cutDefaultScope(want)
	return ok && slices.ContainsFunc(e.scopes, func(has string) bool {
		if len(has) <= len(resource) || !strings.EqualFold(has[:len(resource)], resource) {
			return false
		}
		return strings.IndexByte(has[len(resource):], '/') < 0 // otherwise the token is of a resource whose ID begins with this one's
	})
}

const defaultScope = ".default"

// cutDefaultScope returns the text before ".default", which ends with a slash.
func cutDefaultScope(scope string) (resource string, ok bool) {
	at := len(scope) - len(defaultScope)
	if at < 1 || scope[at-1] != '/' || !strings.EqualFold(scope[at:], defaultScope) {
		return "", false
	}
	return scope[:at], true
}

// distinct returns the scopes that tell access tokens apart, in order.
func (e *entry) distinct() []string {
	of := cloud(e.field[environment])
	var names []string
	for _, s := range e.scopes {
		name, host := bareScope(s, of)
		if IsOpenIDScope(name) {
			continue
		}
		if host != "" && host != graphsOf(of)[0] { // the second Graph of a cloud is a resource of its own
			name = host + "/" + name
		}
		names = append(names, fold(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// IsOpenIDScope reports whether a scope is one of OpenID Connect's own that Entra has
// (OpenID Connect Core 1.0, sections 3.1.2.1, 5.4 and 11): openid, profile, email or
// offline_access, in any letter case. Such a scope belongs to no resource.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc#openid-connect-scopes
func IsOpenIDScope(scope string) bool {
	return strings.EqualFold(scope, "openid") || strings.EqualFold(scope, "profile") ||
		strings.EqualFold(scope, "offline_access") || strings.EqualFold(scope, "email")
}

// Package scope lists scopes under the names of python-o365's scope helpers:
//
//	scope.For("basic", "message_all")
//	// https://graph.microsoft.com/User.Read
//	// https://graph.microsoft.com/Mail.ReadWrite
//	// https://graph.microsoft.com/Mail.Send
//
// Scopes and helpers can be mixed. A name that is no helper is taken as a scope:
// For("basic", "Chat.Read") works, too.
//
// The scopes of a national cloud, or of another API, belong to another [Resource]:
// GraphChina.For("basic").
package scope

import (
	"strings"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// A Resource is an API to which scopes belong, named by the URL with which its scopes
// begin. Your own API is one, too:
// Resource("api://11111111-2222-3333-4444-555555555555").
type Resource string

// Microsoft Graph in each cloud, and Dynamics 365 Business Central. The two American
// Graphs have the same authority, so a program has to name the Graph.
//
//   - https://learn.microsoft.com/graph/deployments
//   - https://learn.microsoft.com/dynamics365/business-central/dev-itpro/administration/automation-apis-using-s2s-authentication
const (
	Graph             Resource = "https://graph.microsoft.com/"
	GraphUSGovernment Resource = "https://graph.microsoft.us/"     // L4
	GraphUSDefense    Resource = "https://dod-graph.microsoft.us/" // L5
	GraphChina        Resource = "https://microsoftgraph.chinacloudapi.cn/"
	BusinessCentral   Resource = "https://api.businesscentral.dynamics.com/"
)

// For returns the scopes of helpersOrScopes in Microsoft Graph's public cloud. See
// [Resource.For].
func For(helpersOrScopes ...string) []string { return Graph.For(helpersOrScopes...) }

// For returns the scopes of helpersOrScopes, in their order and each once. A text with
// several names, separated by blanks or commas, is split.
//
// The resource's URL is put before each scope, with two exceptions: a scope that names
// its resource itself ("https://outlook.office.com/IMAP.AccessAsUser.All"), and the
// scopes of OpenID Connect, which have no resource (openid, profile, email,
// offline_access). Without names there are no scopes.
func (r Resource) For(helpersOrScopes ...string) []string {
	var scopes []string
	for _, name := range tokencache.SplitScopes(helpersOrScopes...) {
		bare, isHelper := helpers[name]
		if !isHelper {
			bare = []string{name}
		}
		for _, scope := range bare {
			scopes = append(scopes, r.prefixed(scope))
		}
	}
	return tokencache.SplitScopes(scopes...) // two helpers may have the same scope
}

func (r Resource) prefixed(scope string) string {
	if strings.Contains(scope, "/") || tokencache.IsOpenIDScope(scope) {
		return scope
	}
	return strings.TrimRight(string(r), "/") + "/" + scope
}

// helpers are those of python-o365: DEFAULT_SCOPES of its connection.py, in that order.
// Its documentation has sharepoint_dl for the name sharepoint_all in its code.
var helpers = map[string][]string{
	"basic":                   {"User.Read"},
	"mailbox":                 {"Mail.Read"},
	"mailbox_shared":          {"Mail.Read.Shared"},
	"mailbox_settings":        {"MailboxSettings.ReadWrite"},
	"message_send":            {"Mail.Send"},
	"message_send_shared":     {"Mail.Send.Shared"},
	"message_all":             {"Mail.ReadWrite", "Mail.Send"},
	"message_all_shared":      {"Mail.ReadWrite.Shared", "Mail.Send.Shared"},
	"address_book":            {"Contacts.Read"},
	"address_book_shared":     {"Contacts.Read.Shared"},
	"address_book_all":        {"Contacts.ReadWrite"},
	"address_book_all_shared": {"Contacts.ReadWrite.Shared"},
	"calendar":                {"Calendars.Read"},
	"calendar_shared":         {"Calendars.Read.Shared"},
	"calendar_all":            {"Calendars.ReadWrite"},
	"calendar_shared_all":     {"Calendars.ReadWrite.Shared"},
	"users":                   {"User.ReadBasic.All"},
	"onedrive":                {"Files.Read.All"},
	"onedrive_all":            {"Files.ReadWrite.All"},
	"sharepoint":              {"Sites.Read.All"},
	"sharepoint_all":          {"Sites.ReadWrite.All"},
	"sharepoint_dl":           {"Sites.ReadWrite.All"},
	"settings_all":            {"MailboxSettings.ReadWrite"},
	"tasks":                   {"Tasks.Read"},
	"tasks_all":               {"Tasks.ReadWrite"},
	"presence":                {"Presence.Read"},
}

package tokencache

import (
	"slices"
	"strings"
)

// SplitScopes returns scopes as a list of single ones, wherever they came from:
// texts with several scopes in them ("User.Read Mail.Read", "User.Read, Mail.Read")
// are split at white space and commas, blanks are dropped, and each scope
// stands once, where it came first. No scope has white space or a comma in it
// (RFC 6749 section 3.3, and Microsoft's resources name none).
func SplitScopes(scopes ...string) []string {
	var single []string
	for _, text := range scopes {
		for _, scope := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }) {
			if !slices.ContainsFunc(single, func(s string) bool { return strings.EqualFold(s, scope) }) {
				single = append(single, scope)
			}
		}
	}
	return single
}

package bearer

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// claimsChallenge returns the claims that a 401 demands, decoded, or "".
//
// Microsoft's resources send them in WWW-Authenticate as
//
//	Bearer realm="", error="insufficient_claims", claims="<base64 of JSON>"
//
// https://learn.microsoft.com/entra/identity-platform/claims-challenge
//
// Headers beyond maxChallenges bytes are not looked at.
func claimsChallenge(h http.Header) string {
	left := maxChallenges
	for _, header := range h.Values("WWW-Authenticate") {
		if left -= len(header); left < 0 {
			break
		}
		for _, c := range parseChallenges(header) {
			if !strings.EqualFold(c.scheme, "Bearer") || c.params["error"] != "insufficient_claims" {
				continue
			}
			// Seen with and without padding, in both alphabets.
			text := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(c.params["claims"])
			if claims, err := base64.RawStdEncoding.DecodeString(text); err == nil && len(claims) > 0 {
				return string(claims)
			}
		}
	}
	return ""
}

// maxChallenges bounds, in bytes, what is read of all WWW-Authenticate headers of
// a response. Microsoft's have a few hundred.
const maxChallenges = 8 << 10

type challenge struct {
	scheme string
	params map[string]string // names in lower case
}

// parseChallenges reads the value of one WWW-Authenticate header: a list of
// challenges, each a scheme and a list of parameters, separated by the same
// commas (RFC 9110 section 11.6.1). It takes what it understands and skips the
// rest.
func parseChallenges(s string) []challenge {
	var found []challenge
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return found
		}
		word, rest := cutToken(s)
		if word == "" {
			s = s[1:]
			continue
		}
		after := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(after, "=") || len(found) == 0 {
			found = append(found, challenge{scheme: word, params: make(map[string]string)})
			s = rest
			continue
		}
		var value string
		value, s = cutValue(strings.TrimLeft(after[1:], " \t"))
		found[len(found)-1].params[strings.ToLower(word)] = value
	}
}

// cutToken cuts a token (RFC 9110 section 5.6.2) from the front of s.
func cutToken(s string) (token, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutValue cuts a quoted string, or what stands before the next comma or blank,
// from the front of s.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:]
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

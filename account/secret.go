package account

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// ParseSecret returns the client secret in text, which is the content of a file or a
// variable. It removes white space, line ends and a byte order mark at both ends. A
// secret is printable ASCII (RFC 6749 appendix A.2). Any other character is an error that
// names the character and its place, and shows nothing of the secret. Without this check
// the provider would answer invalid_client and nothing more.
func ParseSecret(text string) (tokencache.Secret, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || strings.Contains(text, "\x00") {
		return "", errors.New("the client secret is in UTF-16, it seems: save it as plain text (UTF-8)")
	}
	secret := strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == byteOrderMark })
	if secret == "" {
		return "", errors.New("the client secret is blank")
	}
	for i, r := range secret {
		if r < ' ' || r > '~' {
			return "", fmt.Errorf("the client secret is malformed: character %U at byte %d is not printable ASCII", r, i)
		}
	}
	return tokencache.Secret(secret), nil
}

const byteOrderMark = '\ufeff'

package env

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
)

// A variable holds text without NUL. MSAL's JSON and Fernet's tokens are that,
// and stand as they are, where python-o365 finds them. Anything else is
// written in base64, and so is text that would be taken for it.
const encoded = "base64:"

// encode returns the value for data in m.
func encode(m medium, data []byte) string {
	text := string(data)
	plain := utf8.ValidString(text) &&
		strings.IndexByte(text, 0) < 0 &&
		!strings.HasPrefix(text, encoded) &&
		m.holds(text)
	if plain {
		return text
	}
	return encoded + base64.StdEncoding.EncodeToString(data)
}

// decode returns what was encoded.
func decode(value string) ([]byte, error) {
	text, ok := strings.CutPrefix(value, encoded)
	if !ok {
		return nonEmpty([]byte(value))
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the variable's base64 is malformed", core.ErrCorrupt)
	}
	return nonEmpty(data)
}

func nonEmpty(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: the variable is set, but empty", core.ErrCorrupt)
	}
	return data, nil
}

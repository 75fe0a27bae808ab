package backend

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
)

const encoded = "base64:"

// EncodeText returns data as text, for a store that holds text alone. MSAL's JSON and
// Fernet's tokens stay unchanged, so that other programs can read them. Anything else,
// such as the keyring's envelopes, becomes "base64:" and base64. So does text with a NUL
// byte, text that begins with "base64:", and text for which holds returns false. holds
// reports whether the store can hold a text, and may be nil.
func EncodeText(data []byte, holds func(text string) bool) string {
	text := string(data)
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 && !strings.HasPrefix(text, encoded) && (holds == nil || holds(text)) {
		return text
	}
	return encoded + base64.StdEncoding.EncodeToString(data)
}

// DecodeText returns what EncodeText was given, or core.ErrCorrupt.
func DecodeText(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, encoded)
	if !ok {
		return []byte(text), nil
	}
	data, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: its base64 is malformed", core.ErrCorrupt)
	}
	return data, nil
}

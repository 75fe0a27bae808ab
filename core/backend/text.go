package backend

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
)

const encoded = "base64:"

// EncodeText is data for a store that holds text alone. MSAL's JSON and Fernet's tokens
// are text, and stand as they are, so that other programs find them. Anything else, such
// as the keyring's envelopes, is written in base64 behind the word "base64:". So is text
// with a NUL byte, text that would be taken for base64, and text that holds, unless it is
// nil, says the store can't hold.
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

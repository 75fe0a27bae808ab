package bitwarden

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// A value is text. MSAL's JSON, the keyring's envelopes and Fernet's tokens are
// that, and stand as they are, where python-o365 finds them. Anything else is
// written in base64, and so is text that would be taken for it.
const encoded = "base64:"

// maxValue is how long a value may be. Bitwarden's clients take 25,000
// characters, and its server 35,000 of what they become encrypted, which is
// about 26,000 bytes: that many bytes are within both.
const maxValue = 25_000

// MaxSize implements [core.SizeLimiter]. It is the limit of text, which JSON is
// and what the managers of package crypto write; bytes that are no text take a
// third more room, and so their limit is 18,744.
func (b *Backend) MaxSize() int { return maxValue }

// encode returns the value for data.
func encode(data []byte) (tokencache.Secret, error) {
	if len(data) == 0 {
		return "", fmt.Errorf("%w: no data", core.ErrCorrupt)
	}
	value, as := string(data), ""
	if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 || strings.HasPrefix(value, encoded) {
		value, as = encoded+base64.StdEncoding.EncodeToString(data), " as base64"
	}
	if len(value) > maxValue {
		return "", fmt.Errorf("%w: %d bytes%s, the limit is %d", core.ErrTooLarge, len(value), as, maxValue)
	}
	return tokencache.Secret(value), nil
}

// decode returns what was encoded.
func decode(value tokencache.Secret) ([]byte, error) {
	data := []byte(value.Reveal())
	if text, ok := strings.CutPrefix(value.Reveal(), encoded); ok {
		var err error
		if data, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return nil, fmt.Errorf("%w: the value's base64 is malformed", core.ErrCorrupt)
		}
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: the value is empty", core.ErrCorrupt)
	}
	return data, nil
}

package crypto

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/core"
)

// An envelope is a header, "graphtoken:1:" with a key's id and a colon, and
// what the cipher made, encoded.
const (
	magic  = "graphtoken:"
	format = "1:"
)

var encoding = base64.RawURLEncoding.Strict()

func headerOf(id string) string { return magic + format + id + ":" }

// open takes an envelope apart.
func open(envelope []byte) (id string, sealed []byte, err error) {
	rest, ok := bytes.CutPrefix(envelope, []byte(magic))
	if !ok {
		return "", nil, malformed("it is not an envelope of this package")
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(format)); !ok {
		return "", nil, malformed("its envelope is of a format this version doesn't know")
	}
	if len(rest) < idSize+len(":") || rest[idSize] != ':' || !isID(rest[:idSize]) {
		return "", nil, malformed("its envelope names no key")
	}
	id, rest = string(rest[:idSize]), rest[idSize+len(":"):]
	sealed, err = decode(rest)
	if err != nil {
		return "", nil, malformed("its envelope is damaged or cut short")
	}
	return id, sealed, nil
}

// decode accepts what Encrypt writes and no other spelling of it: the decoder
// alone would pass over line breaks.
func decode(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return nil, errors.New("line break")
	}
	return encoding.AppendDecode(nil, text)
}

func isID(b []byte) bool { return len(bytes.Trim(b, "0123456789abcdef")) == 0 }

func malformed(reason string) error { return fmt.Errorf("%w: %s", core.ErrDecrypt, reason) }

// authenticated is what the tag covers besides the plaintext. The length before
// the header keeps a header and associated data from running into each other,
// whatever a later format's header looks like.
func authenticated(header string, associatedData []byte) []byte {
	b := make([]byte, 0, 8+len(header)+len(associatedData))
	b = binary.BigEndian.AppendUint64(b, uint64(len(header)))
	b = append(b, header...)
	return append(b, associatedData...)
}

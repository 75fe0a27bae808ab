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

// open takes an envelope apart: into its header, the id in that, and what the
// cipher made, encoded. They are parts of it, not copies.
func open(envelope []byte) (header, id, sealed []byte, err error) {
	rest, ok := bytes.CutPrefix(envelope, []byte(magic))
	if !ok {
		return nil, nil, nil, malformed("it is not an envelope of this package")
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(format)); !ok {
		return nil, nil, nil, malformed("its envelope is of a format this version doesn't know")
	}
	if len(rest) < idSize+len(":") || rest[idSize] != ':' || !isID(rest[:idSize]) {
		return nil, nil, nil, malformed("its envelope names no key")
	}
	id, sealed = rest[:idSize], rest[idSize+len(":"):]
	return envelope[:len(envelope)-len(sealed)], id, sealed, nil
}

// appendDecoded accepts what Encrypt writes and no other spelling of it: the
// decoder alone would pass over line breaks, and then decode fewer bytes than
// there is room for.
func appendDecoded(dst, text []byte) ([]byte, error) {
	decoded, err := encoding.AppendDecode(dst, text)
	if err == nil && (len(text)%4 == 1 || len(decoded)-len(dst) != encoding.DecodedLen(len(text))) {
		err = errors.New("line break")
	}
	return decoded, err
}

func isID(b []byte) bool { return len(bytes.Trim(b, "0123456789abcdef")) == 0 }

func malformed(reason string) error { return fmt.Errorf("%w: %s", core.ErrDecrypt, reason) }

// appendAuthenticated appends what the tag covers besides the plaintext. The length
// before the header keeps a header and associated data from running into each
// other, whatever a later format's header looks like.
func appendAuthenticated[header []byte | string](dst []byte, h header, associatedData []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(h)))
	dst = append(dst, h...)
	return append(dst, associatedData...)
}

// authenticatedSize is how many bytes appendAuthenticated appends.
func authenticatedSize(header, associatedData int) int { return 8 + header + associatedData }

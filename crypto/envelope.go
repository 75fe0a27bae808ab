package crypto

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/graphtoken/graphtoken/core"
)

// An envelope is a header and, encoded, the output of the cipher. The header begins with
// the magic word and the format, and ends with a colon.
const (
	magic      = "graphtoken:"
	ofKeyring  = "1:" // the key's id follows
	ofDataKeys = "2:" // the id of a key service's key follows, a colon, and the data key that it wrapped
)

// open removes the magic word and the format from an envelope.
func open(envelope []byte, format string) (rest []byte, err error) {
	rest, ok := bytes.CutPrefix(envelope, []byte(magic))
	if !ok {
		return nil, malformed("it is not an envelope of this package")
	}
	found := string(rest[:min(len(rest), len(format))])
	switch {
	case found == format:
		return rest[len(format):], nil
	case found == ofKeyring:
		return nil, fmt.Errorf("%w: %w: the record was encrypted by a Keyring, and this manager is none", core.ErrDecrypt, ErrUnknownKey)
	case found == ofDataKeys:
		return nil, fmt.Errorf("%w: %w: the record was encrypted by DataKeys, and this manager isn't one", core.ErrDecrypt, ErrUnknownKey)
	}
	return nil, malformed("its envelope is of a format this version doesn't know")
}

// seal returns the envelope of plaintext.
func seal(aead cipher.AEAD, header string, plaintext, associatedData []byte) []byte {
	data := appendAuthenticated(make([]byte, 0, authenticatedSize(len(header), len(associatedData))), header, associatedData)
	n := len(plaintext) + aead.Overhead()
	envelope := make([]byte, len(header)+encoding.EncodedLen(n))
	copy(envelope, header)
	// The output of the cipher lies at the end of the envelope, and is encoded towards its
	// beginning: a second array would cost as much time as the encoding.
	sealed := aead.Seal(envelope[len(envelope)-n:len(envelope)-n], nil, plaintext, data)
	return appendEncoded(envelope[:len(header)], sealed)
}

// unseal returns the plaintext of an envelope, given its header and the encoded output of
// the cipher.
func unseal(aead cipher.AEAD, header, encoded, associatedData []byte) ([]byte, error) {
	data := appendAuthenticated(make([]byte, 0, authenticatedSize(len(header), len(associatedData))+encoding.DecodedLen(len(encoded))), header, associatedData)
	sealed, err := appendDecoded(data, encoded)
	if err != nil {
		return nil, malformed("its envelope is damaged or cut short")
	}
	sealed = sealed[len(data):]
	plaintext, err := aead.Open(sealed[:0], nil, sealed, data)
	if err != nil {
		// The cipher can't tell more, nor should it.
		return nil, malformed("it was altered, or stored under another name")
	}
	return plaintext, nil
}

func isID(b []byte) bool { return len(bytes.Trim(b, "0123456789abcdef")) == 0 }

func malformed(reason string) error { return fmt.Errorf("%w: %s", core.ErrDecrypt, reason) }

// appendAuthenticated appends the bytes that the tag covers besides the plaintext.
// Because of the length before the header, a header and associated data can't be confused
// with each other, whatever a later format's header looks like.
func appendAuthenticated[header []byte | string](dst []byte, h header, associatedData []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(h)))
	dst = append(dst, h...)
	return append(dst, associatedData...)
}

// authenticatedSize is how many bytes appendAuthenticated appends.
func authenticatedSize(header, associatedData int) int { return 8 + header + associatedData }

package crypto

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/core"
)

// magic is the word with which all envelopes begin.
const magic = "graphtoken:"

// kind is the kind of manager that makes an envelope.
type kind struct {
	manager string // as errors name it
	format  string // as it is written; the body is the output of the cipher
	asText  string // an older format, which is still read; the body is base64url of that output
	names   int    // the parts of an envelope's name, each with a colon behind it
}

var (
	ofKeyring  = kind{manager: "a Keyring", format: "3:", asText: "1:", names: 1} // the key's id
	ofDataKeys = kind{manager: "DataKeys", format: "4:", asText: "2:", names: 2}  // the id of a key service's key, and the data key that it wrapped
)

// header returns the beginning of envelopes with this name.
func (k kind) header(name string) string { return magic + k.format + name + ":" }

// envelope is a stored record in its parts, which lie in the record's array.
type envelope struct {
	header []byte // the record up to its body; it ends with a colon
	name   []byte // the part of the header that names the key
	body   []byte // nonce, ciphertext and tag
	asText bool   // body is base64url of these
}

// open splits a stored record, if it has the form of an envelope of this kind.
func (k kind) open(stored []byte) (envelope, error) {
	rest, ok := bytes.CutPrefix(stored, []byte(magic))
	if !ok && bytes.HasPrefix(bytes.TrimSpace(stored), []byte("{")) { // as a token cache begins
		return envelope{}, malformed("the record is plain")
	}
	if !ok {
		return envelope{}, malformed("it has no form of an encrypted record")
	}
	format := string(rest[:min(len(rest), len(k.format))])
	switch format {
	case k.format, k.asText:
	case ofKeyring.format, ofKeyring.asText:
		return envelope{}, notOf(ofKeyring, k)
	case ofDataKeys.format, ofDataKeys.asText:
		return envelope{}, notOf(ofDataKeys, k)
	default:
		return envelope{}, malformed("its envelope is of a format this version doesn't know")
	}
	begin := len(magic) + len(k.format)
	end := begin
	for range k.names {
		n := bytes.IndexByte(stored[end:], ':')
		if n <= 0 {
			return envelope{}, malformed("its envelope names no key")
		}
		end += n + len(":")
	}
	return envelope{header: stored[:end], name: stored[begin : end-len(":")], body: stored[end:], asText: format == k.asText}, nil
}

func notOf(found, wanted kind) error {
	return fmt.Errorf("%w: %w: the record was encrypted by %s, not by %s", core.ErrDecrypt, ErrUnknownKey, found.manager, wanted.manager)
}

// seal returns the envelope of plaintext, in one array: behind the envelope, out of the
// caller's reach, lie the additional data.
func seal(aead cipher.AEAD, header string, plaintext, associatedData []byte) []byte {
	n := len(header) + len(plaintext) + aead.Overhead()
	array := make([]byte, n+authenticatedSize(len(header), len(associatedData)))
	data := appendAuthenticated(array[n:n], header, associatedData)
	return aead.Seal(append(array[:0:n], header...), nil, plaintext, data)
}

// unseal returns the plaintext of an envelope, in one array, as seal does.
func unseal(aead cipher.AEAD, e envelope, associatedData []byte) ([]byte, error) {
	if e.asText {
		var err error
		if e.body, err = decode(e.body); err != nil {
			return nil, malformed("its envelope is damaged or cut short")
		}
	}
	n := len(e.body) - aead.Overhead()
	if n < 0 {
		return nil, malformed("its envelope is cut short")
	}
	array := make([]byte, n+authenticatedSize(len(e.header), len(associatedData)))
	data := appendAuthenticated(array[n:n], e.header, associatedData)
	plaintext, err := aead.Open(array[:0:n], nil, e.body, data)
	if err != nil {
		// The cipher can't tell more, nor should it.
		return nil, malformed("it was altered, or stored under another name")
	}
	return plaintext, nil
}

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

// encoding is base64url without padding (RFC 4648 section 5).
var encoding = base64.RawURLEncoding.Strict()

// decode decodes base64url. Unlike the standard library it also refuses line breaks: one
// sequence of bytes has one spelling.
func decode(text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("line break")
	}
	return encoding.AppendDecode(nil, text)
}

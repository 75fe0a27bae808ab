package crypto

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// encoding is base64url without padding (RFC 4648 section 5). It has the last word on every
// text. The loops below do the same faster for whole groups of characters, by tables, and
// leave to it the rest and whatever isn't good. Tests compare them.
var encoding = base64.RawURLEncoding.Strict()

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// pairs has the two characters for any 12 bits, as they lie in memory, and bits has the 12 bits of any
// two characters, or noBits. Good text touches 12 KB of the 128 KB of bits.
var (
	pairs [1 << 12]uint16
	bits  [1 << 16]uint16
)

const noBits = 1 << 15

func init() {
	for i := range bits {
		bits[i] = noBits
	}
	for i := range pairs {
		pairs[i] = uint16(alphabet[i>>6]) | uint16(alphabet[i&63])<<8
		bits[pairs[i]] = uint16(i)
	}
}

// appendEncoded appends base64url of src, six bytes at a time. src may be the end of the
// array that is appended to, if that is just long enough: the text of as many bytes as were
// read never reaches the bytes that are still to be read.
func appendEncoded(dst, src []byte) []byte {
	for len(src) >= 8 && cap(dst)-len(dst) >= 8 {
		v := binary.BigEndian.Uint64(src) // its last two bytes are of the next six
		n := len(dst)
		dst = dst[:n+8]
		binary.LittleEndian.PutUint64(dst[n:], uint64(pairs[v>>52])|uint64(pairs[v>>40&0xfff])<<16|uint64(pairs[v>>28&0xfff])<<32|uint64(pairs[v>>16&0xfff])<<48)
		src = src[6:]
	}
	var rest [8]byte // a copy, since the library doesn't say that its arguments may overlap
	if len(src) <= len(rest) {
		src = rest[:copy(rest[:], src)]
	}
	return encoding.AppendEncode(dst, src)
}

// appendDecoded appends what text stands for. It accepts what appendEncoded writes and no other
// spelling of it: the standard library's decoder alone would pass over line breaks, and then
// decode fewer bytes than there is room for.
func appendDecoded(dst, text []byte) ([]byte, error) {
	want, good := len(dst)+encoding.DecodedLen(len(text)), len(text)%4 != 1
	for len(text) >= 8 && cap(dst)-len(dst) >= 8 {
		v := binary.LittleEndian.Uint64(text)
		a, b, c, d := bits[uint16(v)], bits[uint16(v>>16)], bits[uint16(v>>32)], bits[v>>48]
		if (a|b|c|d)&noBits != 0 {
			break
		}
		n := len(dst)
		dst = dst[:n+8] // six bytes, and two that are written over
		binary.BigEndian.PutUint64(dst[n:], uint64(a)<<52|uint64(b)<<40|uint64(c)<<28|uint64(d)<<16)
		dst, text = dst[:n+6], text[8:]
	}
	dst, err := encoding.AppendDecode(dst, text)
	if err == nil && (!good || len(dst) != want) {
		err = errors.New("line break")
	}
	return dst, err
}

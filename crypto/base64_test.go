package crypto

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"testing"
)

// decodeStrictly is what appendDecoded must do, by the standard library alone.
func decodeStrictly(text []byte) ([]byte, bool) {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	return decoded, err == nil && base64.RawURLEncoding.EncodeToString(decoded) == string(text)
}

func wantDecodedAlike(t *testing.T, text []byte) {
	t.Helper()
	want, good := decodeStrictly(text)
	for _, spare := range []int{0, 1, 8, 100} { // the fast loop needs room
		before := append(make([]byte, 0, 3+base64.RawURLEncoding.DecodedLen(len(text))+spare), "abc"...)
		got, err := appendDecoded(before, text)
		if (err == nil) != good || good && string(got) != "abc"+string(want) {
			t.Fatalf("%q with %d bytes to spare: %q, %v; the standard library has %q, %v", text, spare, got, err, want, good)
		}
	}
}

func TestBase64IsTheStandardLibrarysInBothDirections(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for size := range 200 {
		raw := make([]byte, size)
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		text := base64.RawURLEncoding.AppendEncode(nil, raw)
		for _, spare := range []int{0, 1, 8, 100} {
			before := append(make([]byte, 0, 3+len(text)+spare), "abc"...)
			if got := appendEncoded(before, raw); string(got) != "abc"+string(text) {
				t.Fatalf("%x is encoded to %s, want %s", raw, got, text)
			}
		}
		wantDecodedAlike(t, text)

		// The encoded bytes may lie at the end of the array that the text is appended to.
		array := append([]byte("abc"), make([]byte, len(text))...)
		src := array[len(array)-size:]
		copy(src, raw)
		if got := appendEncoded(array[:3], src); string(got) != "abc"+string(text) || len(got) > 0 && &got[0] != &array[0] {
			t.Fatalf("%x at the end of the array is encoded to %s, want %s", raw, got, text)
		}
	}
}

func TestBase64OfAnyOtherSpellingIsRefused(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xef, 0xbe}, 9)
	for cut := range 3 {
		text := base64.RawURLEncoding.AppendEncode(nil, raw[cut:])
		for at := range text {
			for c := range 256 {
				wantDecodedAlike(t, slices.Replace(slices.Clone(text), at, at+1, byte(c)))
			}
			wantDecodedAlike(t, slices.Insert(slices.Clone(text), at, '\n'))
			wantDecodedAlike(t, slices.Insert(slices.Clone(text), at, '\r', '\n', '\r', '\n', '\r', '\n', '\r', '\n'))
			wantDecodedAlike(t, text[:at])
		}
	}
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAA"))
	f.Add([]byte("AAAAAAAA\nAAAAAAAA"))
	f.Fuzz(func(t *testing.T, text []byte) { wantDecodedAlike(t, text) })
}

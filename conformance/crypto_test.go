package conformance

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// gcm is a correct manager: a key's name, a nonce, ciphertext and tag.
type gcm struct {
	name string // 4 bytes, authenticated
	aead func() cipher.AEAD
}

var (
	errNoKey = errors.New("no such key")

	cryptoKey      = []byte("a key of thirty-two random bytes")
	otherCryptoKey = []byte("another key of thirty-two bytes.")
)

func newGCM(key []byte) *gcm {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(key)
	return &gcm{name: string(sum[:4]), aead: func() cipher.AEAD { return aead }}
}

func (m *gcm) Encrypt(_ context.Context, plaintext, place []byte) ([]byte, error) {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	return m.seal(nonce, plaintext, place), nil
}

func (m *gcm) seal(nonce, plaintext, place []byte) []byte {
	stored := append([]byte(m.name), nonce...)
	return m.aead().Seal(stored, nonce, plaintext, append([]byte(m.name), place...))
}

func (m *gcm) Decrypt(_ context.Context, stored, place []byte) ([]byte, error) {
	if len(stored) < 4+12+16 {
		return nil, fmt.Errorf("%w: too short", core.ErrDecrypt)
	}
	if string(stored[:4]) != m.name {
		return nil, fmt.Errorf("%w: %w", core.ErrDecrypt, errNoKey)
	}
	plaintext, err := m.aead().Open(nil, stored[4:16], stored[16:], append([]byte(m.name), place...))
	if err != nil {
		return nil, fmt.Errorf("%w: altered", core.ErrDecrypt)
	}
	return plaintext, nil
}

// brokenManager is a gcm some of whose methods are replaced.
type brokenManager struct {
	*gcm
	encrypt  func(ctx context.Context, plaintext, place []byte) ([]byte, error)
	decrypt  func(ctx context.Context, stored, place []byte) ([]byte, error)
	otherKey func() core.CryptographyManager
	print    func() string
}

func (m *brokenManager) Encrypt(ctx context.Context, plaintext, place []byte) ([]byte, error) {
	if m.encrypt != nil {
		return m.encrypt(ctx, plaintext, place)
	}
	return m.gcm.Encrypt(ctx, plaintext, place)
}

func (m *brokenManager) Decrypt(ctx context.Context, stored, place []byte) ([]byte, error) {
	if m.decrypt != nil {
		return m.decrypt(ctx, stored, place)
	}
	return m.gcm.Decrypt(ctx, stored, place)
}

func (m *brokenManager) OtherKey(T) core.CryptographyManager {
	if m.otherKey != nil {
		return m.otherKey()
	}
	return newGCM(otherCryptoKey)
}

func (m *brokenManager) IsWrongKey(err error) bool { return errors.Is(err, errNoKey) }

func (m *brokenManager) Secrets() []string { return []string{string(cryptoKey)} }

func (m *brokenManager) Format(f fmt.State, _ rune) {
	if m.print != nil {
		io.WriteString(f, m.print())
		return
	}
	io.WriteString(f, "[manager]")
}

func (m *brokenManager) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", m), nil }

// cryptoMutant is a manager that is wrong in one way, and the case that must say so.
type cryptoMutant struct {
	what, by string
	unbound  string
	breaks   func(m *brokenManager)
}

var errRefused = fmt.Errorf("%w: altered", core.ErrDecrypt)

// plainOf has m decrypt, and change what comes of it.
func plainOf(m *brokenManager, change func(plaintext []byte) []byte) {
	m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
		plaintext, err := m.gcm.Decrypt(ctx, stored, place)
		if err != nil {
			return nil, err
		}
		return change(plaintext), nil
	}
}

// placed has m see other associated data than the caller's.
func placed(m *brokenManager, place func(p []byte) []byte) {
	m.encrypt = func(ctx ctx, plaintext, p []byte) ([]byte, error) { return m.gcm.Encrypt(ctx, plaintext, place(p)) }
	m.decrypt = func(ctx ctx, stored, p []byte) ([]byte, error) { return m.gcm.Decrypt(ctx, stored, place(p)) }
}

// encoded has m store something else than it encrypts to.
func encoded(m *brokenManager, encode func(b []byte) []byte, decode func(b []byte) ([]byte, error)) {
	m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
		b, err := m.gcm.Encrypt(ctx, plaintext, place)
		return encode(b), err
	}
	m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
		b, err := decode(stored)
		if err != nil {
			return nil, fmt.Errorf("%w: not base64", core.ErrDecrypt)
		}
		return m.gcm.Decrypt(ctx, b, place)
	}
}

// nonced has m take its nonces from next.
func nonced(m *brokenManager, next func(plaintext, place []byte) []byte) {
	m.encrypt = func(_ ctx, plaintext, place []byte) ([]byte, error) {
		nonce := make([]byte, 12)
		copy(nonce, next(plaintext, place))
		return m.seal(nonce, plaintext, place), nil
	}
}

// onlySigned is a scheme that hides nothing.
func onlySigned(m *brokenManager) {
	sign := func(nonce, plaintext, place []byte) []byte {
		mac := hmac.New(sha256.New, cryptoKey)
		fmt.Fprintf(mac, "%d %s%d %s%d %s", len(nonce), nonce, len(place), place, len(plaintext), plaintext)
		return mac.Sum(nil)
	}
	m.encrypt = func(_ ctx, plaintext, place []byte) ([]byte, error) {
		nonce := make([]byte, 16)
		rand.Read(nonce)
		return slices.Concat(nonce, sign(nonce, plaintext, place), plaintext), nil
	}
	m.decrypt = func(_ ctx, stored, place []byte) ([]byte, error) {
		if len(stored) < 48 || !hmac.Equal(stored[16:48], sign(stored[:16], stored[48:], place)) {
			return nil, errRefused
		}
		return bytes.Clone(stored[48:]), nil
	}
}

// counterMode is a scheme without a tag, which binds nothing.
func counterMode(m *brokenManager) {
	block, err := aes.NewCipher(cryptoKey)
	if err != nil {
		panic(err)
	}
	m.encrypt = func(_ ctx, plaintext, _ []byte) ([]byte, error) {
		stored := make([]byte, 16+len(plaintext))
		rand.Read(stored[:16])
		cipher.NewCTR(block, stored[:16]).XORKeyStream(stored[16:], plaintext)
		return stored, nil
	}
	m.decrypt = func(_ ctx, stored, _ []byte) ([]byte, error) {
		if len(stored) < 16 {
			return nil, errRefused
		}
		plaintext := make([]byte, len(stored)-16)
		cipher.NewCTR(block, stored[:16]).XORKeyStream(plaintext, stored[16:])
		return plaintext, nil
	}
}

var cryptoMutants = []cryptoMutant{
	{what: "trims white space", by: "basics/round-trip", breaks: func(m *brokenManager) { plainOf(m, bytes.TrimSpace) }},
	{what: "takes bytes for text", by: "basics/round-trip", breaks: func(m *brokenManager) {
		plainOf(m, func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("\ufffd")) })
	}},
	{what: "refuses what it decrypted before", by: "basics/again", breaks: func(m *brokenManager) {
		var seen sync.Map
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			if _, twice := seen.LoadOrStore(string(stored), true); twice {
				return nil, errRefused
			}
			return m.gcm.Decrypt(ctx, stored, place)
		}
	}},
	{what: "stores nothing for nothing", by: "basics/empty", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if len(plaintext) == 0 {
				return nil, nil
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
	{what: "calls an empty plaintext damage", by: "basics/empty", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err == nil && len(plaintext) == 0 {
				return nil, errRefused
			}
			return plaintext, err
		}
	}},
	{what: "tells nil from empty", by: "basics/no-associated-data", breaks: func(m *brokenManager) {
		placed(m, func(p []byte) []byte { return fmt.Appendf(nil, "%t %s", p == nil, p) })
	}},
	{what: "refuses empty associated data", by: "basics/no-associated-data", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if len(place) == 0 {
				return nil, errors.New("no associated data")
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
	{what: "signs and doesn't encrypt", by: "basics/hidden", breaks: onlySigned},

	{what: "forgets the associated data", by: "binding/bound", breaks: func(m *brokenManager) {
		placed(m, func([]byte) []byte { return nil })
	}},
	{what: "folds the case of associated data", by: "binding/bound", breaks: func(m *brokenManager) { placed(m, bytes.ToLower) }},
	{what: "trims associated data", by: "binding/bound", breaks: func(m *brokenManager) { placed(m, bytes.TrimSpace) }},
	{what: "doesn't ask for associated data where none are given", by: "binding/bound", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			b, err := m.gcm.Encrypt(ctx, slices.Concat([]byte{byte(len(place))}, place, plaintext), nil)
			return b, err
		}
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			b, err := m.gcm.Decrypt(ctx, stored, nil)
			if err != nil {
				return nil, err
			}
			n := int(b[0])
			if len(place) > 0 && string(b[1:1+n]) != string(place) {
				return nil, errRefused
			}
			return b[1+n:], nil
		}
	}},
	{what: "binds the first 64 bytes of associated data", by: "binding/bound-whole", breaks: func(m *brokenManager) {
		placed(m, func(p []byte) []byte { return p[:min(64, len(p))] })
	}},
	{what: "binds a checksum of one byte", by: "binding/bound-whole", breaks: func(m *brokenManager) {
		placed(m, func(p []byte) []byte {
			var sum byte
			for i, b := range p {
				sum ^= b >> (i % 2) // the lowest bit of every second byte gets lost
			}
			return []byte{sum, byte(len(p))}
		})
	}},
	{what: "joins associated data and the record", by: "binding/bound-apart", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			return m.gcm.Encrypt(ctx, slices.Concat(place, plaintext), nil)
		}
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			b, err := m.gcm.Decrypt(ctx, stored, nil)
			if err != nil {
				return nil, err
			}
			rest, ok := bytes.CutPrefix(b, place)
			if !ok {
				return nil, errRefused
			}
			return rest, nil
		}
	}},
	{what: "binds what it is said not to bind", by: "binding/unbound", unbound: "the scheme has no place for it"},

	{what: "has no tag", by: "tampering/bits", breaks: counterMode},
	{what: "doesn't look at the tag of what is large", by: "sizes/1-MiB", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil && len(stored) > 1<<19 {
				return make([]byte, len(stored)-32), nil
			}
			return plaintext, err
		}
	}},
	{what: "takes hexadecimal in either case", by: "tampering/bits", breaks: func(m *brokenManager) {
		encoded(m, func(b []byte) []byte { return hex.AppendEncode(nil, b) }, func(b []byte) ([]byte, error) { return hex.AppendDecode(nil, b) })
	}},
	{what: "doesn't look at its version byte", by: "tampering/bits", breaks: func(m *brokenManager) {
		encoded(m, func(b []byte) []byte { return append([]byte{1}, b...) }, func(b []byte) ([]byte, error) { return b[min(1, len(b)):], nil })
	}},
	{what: "panics on what is too short", by: "tampering/cut", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			_ = stored[15]
			return m.gcm.Decrypt(ctx, stored, place)
		}
	}},
	{what: "answers nothing for nothing", by: "tampering/cut", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			if len(stored) == 0 {
				return nil, nil
			}
			return m.gcm.Decrypt(ctx, stored, place)
		}
	}},
	{what: "has an error of its own for what is cut short", by: "tampering/cut", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			if len(stored) < 32 {
				return nil, io.ErrUnexpectedEOF
			}
			return m.gcm.Decrypt(ctx, stored, place)
		}
	}},
	{what: "hands out what it could decrypt beside the error", by: "tampering/bits", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				return []byte("{}"), err
			}
			return plaintext, nil
		}
	}},
	{what: "passes over what stands behind its length", by: "tampering/shifted", breaks: func(m *brokenManager) {
		encoded(m, func(b []byte) []byte {
			return append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
		}, func(b []byte) ([]byte, error) {
			if len(b) < 3 {
				return nil, io.ErrUnexpectedEOF
			}
			n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
			return b[3:min(3+n, len(b))], nil
		})
	}},
	{what: "encrypts in two parts that don't know of each other", by: "tampering/spliced", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			half := len(plaintext) / 2
			one, _ := m.gcm.Encrypt(ctx, plaintext[:half], append([]byte("one"), place...))
			two, _ := m.gcm.Encrypt(ctx, plaintext[half:], append([]byte("two"), place...))
			return slices.Concat(one, two), nil
		}
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			for _, half := range []int{(len(stored) - 64) / 2, (len(stored) - 63) / 2} {
				if half < 0 || half+32 > len(stored) {
					continue
				}
				one, err1 := m.gcm.Decrypt(ctx, stored[:half+32], append([]byte("one"), place...))
				two, err2 := m.gcm.Decrypt(ctx, stored[half+32:], append([]byte("two"), place...))
				if err1 == nil && err2 == nil {
					return slices.Concat(one, two), nil
				}
			}
			return nil, errRefused
		}
	}},
	{what: "takes a plain record as it is", by: "tampering/foreign", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			if bytes.HasPrefix(stored, []byte("{")) {
				return bytes.Clone(stored), nil
			}
			return m.gcm.Decrypt(ctx, stored, place)
		}
	}},

	{what: "has one nonce", by: "nonces/unique", breaks: func(m *brokenManager) {
		nonced(m, func(_, _ []byte) []byte { return nil })
	}},
	{what: "makes the nonce of the plaintext", by: "nonces/unique", breaks: func(m *brokenManager) {
		nonced(m, func(plaintext, place []byte) []byte {
			sum := sha256.Sum256(slices.Concat(plaintext, place))
			return sum[:]
		})
	}},
	{what: "has a nonce of one byte", by: "nonces/unique", breaks: func(m *brokenManager) {
		var n atomic.Int64
		nonced(m, func(_, _ []byte) []byte { return []byte{byte(n.Add(1))} })
	}},
	{what: "counts its nonces from the beginning in every process", by: "nonces/fresh", breaks: func(m *brokenManager) {
		var n atomic.Int64
		nonced(m, func(_, _ []byte) []byte { return fmt.Append(nil, n.Add(1)) })
	}},
	{what: "counts its nonces by place", by: "nonces/fresh", breaks: func(m *brokenManager) {
		var mu sync.Mutex
		random := make([]byte, 6)
		rand.Read(random)
		n := map[string]int{}
		nonced(m, func(_, place []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			n[string(place)]++
			return fmt.Append(random, n[string(place)])
		})
	}},
	{what: "puts a random word before a keystream that is always the same", by: "nonces/fresh", breaks: func(m *brokenManager) {
		encoded(m, func(b []byte) []byte { return b }, func(b []byte) ([]byte, error) { return b, nil })
		m.encrypt = func(_ ctx, plaintext, place []byte) ([]byte, error) {
			word := make([]byte, 8)
			rand.Read(word)
			return append(word, m.seal(make([]byte, 12), plaintext, append(word, place...))...), nil
		}
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			if len(stored) < 8 {
				return nil, errRefused
			}
			return m.gcm.Decrypt(ctx, stored[8:], append(bytes.Clone(stored[:8]), place...))
		}
	}},

	{what: "pads with zeros", by: "sizes/zeros", breaks: func(m *brokenManager) {
		plainOf(m, func(b []byte) []byte { return bytes.TrimRight(b, "\x00") })
	}},
	{what: "loses what fills a block", by: "sizes/small", breaks: func(m *brokenManager) {
		plainOf(m, func(b []byte) []byte { return b[:len(b)-len(b)/272] })
	}},
	{what: "counts in 16 bits", by: "sizes/64-KiB", breaks: func(m *brokenManager) {
		plainOf(m, func(b []byte) []byte { return b[:len(b)&0xffff] })
	}},
	{what: "refuses what is large", by: "sizes/1-MiB", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if len(plaintext) > 1<<19 {
				return nil, core.ErrTooLarge
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},

	{what: "has a key that everybody has", by: "keys/other", breaks: func(m *brokenManager) {
		m.otherKey = func() core.CryptographyManager { return newGCM(cryptoKey) }
	}},
	{what: "has an error of its own for a missing key", by: "keys/other", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if errors.Is(err, errNoKey) {
				return nil, errNoKey
			}
			return plaintext, err
		}
	}},
	{what: "says of everything that the key is missing", by: "keys/told-apart", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", core.ErrDecrypt, errNoKey)
			}
			return plaintext, nil
		}
	}},
	{what: "says of nothing that the key is missing", by: "keys/told-apart", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				return nil, errRefused
			}
			return plaintext, nil
		}
	}},

	{what: "calls a record damaged when its caller gave up", by: "context/cancelled", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", core.ErrDecrypt, ctx.Err())
			}
			return m.gcm.Decrypt(ctx, stored, place)
		}
	}},
	{what: "has an error of its own for a caller who gave up", by: "context/cancelled", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if ctx.Err() != nil {
				return nil, errors.New("interrupted")
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
	{what: "keeps the first caller's context", by: "context/past", breaks: func(m *brokenManager) {
		var first sync.Once
		var kept context.Context
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if first.Do(func() { kept = ctx }); kept.Err() != nil {
				return nil, kept.Err()
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
	{what: "fetches its key once, and keeps the error for ever", by: "context/past", breaks: func(m *brokenManager) {
		var fetch sync.Once
		var err error
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if fetch.Do(func() { err = ctx.Err() }); err != nil {
				return nil, err
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},

	{what: "decrypts in place", by: "slices/unchanged", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				return nil, err
			}
			return stored[:copy(stored, plaintext)], nil
		}
	}},
	{what: "wipes what it encrypted", by: "slices/unchanged", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			defer clear(plaintext)
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
	{what: "appends to the associated data", by: "slices/unchanged", breaks: func(m *brokenManager) {
		placed(m, func(p []byte) []byte { return append(p, "and more"...) })
	}},
	{what: "wipes what it refuses", by: "slices/unchanged", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				clear(stored)
			}
			return plaintext, err
		}
	}},
	{what: "remembers the last record by its caller's slices", by: "slices/not-retained", breaks: func(m *brokenManager) {
		var mu sync.Mutex
		var stored, plaintext []byte
		m.encrypt = func(ctx ctx, p, place []byte) ([]byte, error) {
			b, err := m.gcm.Encrypt(ctx, p, place)
			mu.Lock()
			defer mu.Unlock()
			stored, plaintext = bytes.Clone(b), p
			return b, err
		}
		m.decrypt = func(ctx ctx, s, place []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if bytes.Equal(s, stored) {
				return bytes.Clone(plaintext), nil
			}
			return m.gcm.Decrypt(ctx, s, place)
		}
	}},
	{what: "has one buffer for what it stores", by: "slices/callers-own", breaks: func(m *brokenManager) {
		var mu sync.Mutex
		buffer := make([]byte, 0, 4096)
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			b, err := m.gcm.Encrypt(ctx, plaintext, place)
			mu.Lock()
			defer mu.Unlock()
			if len(b) > cap(buffer) {
				return b, err
			}
			buffer = append(buffer[:0], b...)
			return buffer, err
		}
	}},
	{what: "hands its cached plaintext out", by: "slices/callers-own", breaks: func(m *brokenManager) {
		var mu sync.Mutex
		cache := map[string][]byte{}
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			at := string(place) + "\n" + string(stored)
			if plaintext, ok := cache[at]; ok {
				return plaintext, nil
			}
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err == nil {
				cache[at] = plaintext
			}
			return plaintext, err
		}
	}},

	{what: "keeps the place of a call where others find it", by: "concurrent/round-trips", breaks: func(m *brokenManager) {
		var at atomic.Value
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			at.Store(bytes.Clone(place))
			_ = ctx.Err() // gives others a turn
			return m.gcm.Encrypt(ctx, plaintext, at.Load().([]byte))
		}
	}},
	{what: "isn't ready for a second caller while the first makes it so", by: "concurrent/first-calls", breaks: func(m *brokenManager) {
		var state atomic.Int32 // 0: not begun, 1: begun, 2: ready
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			if state.CompareAndSwap(0, 1) {
				time.Sleep(time.Millisecond)
				state.Store(2)
			}
			if state.Load() != 2 {
				return nil, errors.New("no key yet")
			}
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
	{what: "is confused by a refusal beside it", by: "concurrent/refusals", breaks: func(m *brokenManager) {
		var refusing atomic.Int32
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				refusing.Add(1)
				time.Sleep(50 * time.Microsecond)
				refusing.Add(-1)
			} else if refusing.Load() > 0 {
				return nil, errRefused
			}
			return plaintext, err
		}
	}},

	{what: "quotes what it can't read", by: "redaction/errors", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				err = fmt.Errorf("%w: %q", err, stored)
			}
			return plaintext, err
		}
	}},
	{what: "names its key in an error", by: "redaction/errors", breaks: func(m *brokenManager) {
		m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
			plaintext, err := m.gcm.Decrypt(ctx, stored, place)
			if err != nil {
				err = fmt.Errorf("%w: with key %x", err, cryptoKey)
			}
			return plaintext, err
		}
	}},
	{what: "prints the record it decrypted last", by: "redaction/prints", breaks: func(m *brokenManager) {
		var last atomic.Value
		last.Store("")
		plainOf(m, func(b []byte) []byte { last.Store(string(b)); return b })
		m.print = func() string { return last.Load().(string) }
	}},
	{what: "prints its key", by: "redaction/keys", breaks: func(m *brokenManager) {
		m.print = func() string { return base64.StdEncoding.EncodeToString(cryptoKey) }
	}},
	{what: "logs what it encrypts", by: "redaction/logs", breaks: func(m *brokenManager) {
		m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
			slog.Debug("encrypt", "record", string(plaintext))
			return m.gcm.Encrypt(ctx, plaintext, place)
		}
	}},
}

// harness runs the mutant's case alone.
func (m cryptoMutant) harness() CryptographyHarness {
	skip := map[string]string{}
	for _, g := range cryptographySuite() {
		for _, k := range g.cases {
			if name := g.name + "/" + k.name; name != m.by {
				skip[name] = "not the case that is to catch it"
			}
		}
	}
	return CryptographyHarness{Skip: skip, Unbound: m.unbound, Timeout: 10 * time.Second, New: func(T) core.CryptographyManager {
		b := &brokenManager{gcm: newGCM(cryptoKey)}
		if m.breaks != nil {
			m.breaks(b)
		}
		return b
	}}
}

func TestEveryBrokenManagerIsCaughtByTheCaseNamedForIt(t *testing.T) {
	for _, m := range cryptoMutants {
		t.Run(strings.ReplaceAll(m.what, " ", "-"), func(t *testing.T) {
			var c Case
			for range 3 { // a fault that needs a race may not show at once
				report, _ := CheckCryptography(t.Context(), m.harness())
				i := slices.IndexFunc(report.Cases, func(c Case) bool { return c.Name == m.by })
				if i < 0 {
					t.Fatalf("there is no case %s", m.by)
				}
				if c = report.Cases[i]; c.Outcome == Failed {
					t.Logf("%s: %s", m.by, c.Detail)
					return
				}
			}
			t.Errorf("a manager that %s is not caught by %s: it is %s, %s", m.what, m.by, c.Outcome, c.Detail)
		})
	}
}

func TestEveryCaseOfCryptographyHasAManagerToCatch(t *testing.T) {
	cases := map[string]int{}
	for _, g := range cryptographySuite() {
		for _, k := range g.cases {
			name := g.name + "/" + k.name
			if _, twice := cases[name]; twice {
				t.Errorf("two cases are called %s", name)
			}
			cases[name] = 0
			if !strings.HasPrefix(k.must.source, "conformance/") || !strings.HasSuffix(k.must.sentence, ".") {
				t.Errorf("%s stands at %s, and requires %q", name, k.must.source, k.must.sentence)
			}
		}
	}
	for _, m := range cryptoMutants {
		cases[m.by]++
	}
	for name, caught := range cases {
		if caught == 0 {
			t.Errorf("no broken manager shows that %s can fail", name)
		}
	}
}

func TestCorrectManagersPass(t *testing.T) {
	for name, h := range map[string]CryptographyHarness{
		"with all that a harness may have": {New: func(T) core.CryptographyManager { return &brokenManager{gcm: newGCM(cryptoKey)} }},
		"a bare one":                       {New: func(T) core.CryptographyManager { return newGCM(cryptoKey) }},
		"one manager for all cases": {New: func() func(T) core.CryptographyManager {
			m := newGCM(cryptoKey)
			return func(T) core.CryptographyManager { return m }
		}()},
		"new keys for every case": {New: func(T) core.CryptographyManager {
			key := make([]byte, 32)
			rand.Read(key)
			return newGCM(key)
		}},
		"one that binds nothing, and says so": {Unbound: "there is no place for it", New: func(T) core.CryptographyManager {
			m := &brokenManager{gcm: newGCM(cryptoKey)}
			placed(m, func([]byte) []byte { return nil })
			return m
		}},
		"one that minds its caller's context": {New: func(T) core.CryptographyManager {
			m := &brokenManager{gcm: newGCM(cryptoKey)}
			m.encrypt = func(ctx ctx, plaintext, place []byte) ([]byte, error) {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("mine: %w", err)
				}
				return m.gcm.Encrypt(ctx, plaintext, place)
			}
			m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("mine: %w", err)
				}
				return m.gcm.Decrypt(ctx, stored, place)
			}
			return m
		}},
		"one that takes long": {Timeout: 20 * time.Second, New: func(T) core.CryptographyManager {
			m := &brokenManager{gcm: newGCM(cryptoKey)}
			m.decrypt = func(ctx ctx, stored, place []byte) ([]byte, error) {
				time.Sleep(time.Millisecond)
				return m.gcm.Decrypt(ctx, stored, place)
			}
			return m
		}},
	} {
		t.Run(name, func(t *testing.T) { RunCryptography(t, h) })
	}
}

func TestTheReportOfACorrectManager(t *testing.T) {
	report, err := CheckCryptography(t.Context(), CryptographyHarness{New: func(T) core.CryptographyManager { return &brokenManager{gcm: newGCM(cryptoKey)} }})
	if err != nil {
		t.Error(err)
	}
	for _, c := range report.Cases {
		if c.Outcome != Passed && c.Name != "binding/unbound" {
			t.Errorf("%s: %s, %s", c.Name, c.Outcome, c.Detail)
		}
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Version, Manager string
		Unbound          *string
		Cases            []map[string]string
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	if document.Version != Version || document.Manager != "conformance.brokenManager" || document.Unbound == nil || len(document.Cases) != len(report.Cases) {
		t.Errorf("the report begins %.300s", text)
	}
}

func TestACaseThatAManagerCannotServeIsSkippedWithTheReason(t *testing.T) {
	report, err := CheckCryptography(t.Context(), CryptographyHarness{
		New: func(T) core.CryptographyManager { return newGCM(cryptoKey) }, Skip: map[string]string{"sizes": "for the sake of brevity"},
	})
	if err != nil {
		t.Error(err)
	}
	want := map[string]string{
		"keys/other":      "the harness's manager is no OtherKeyer",
		"keys/told-apart": "the harness's manager is no OtherKeyer; the harness's manager is no KeyTeller",
		"redaction/keys":  "the harness's manager is no SecretHolder",
		"binding/unbound": "the harness says that associated data are bound",
		"sizes/small":     "by the harness: for the sake of brevity",
	}
	for _, c := range report.Cases {
		if detail, ok := want[c.Name]; ok && (c.Outcome != Skipped || c.Detail != detail) {
			t.Errorf("%s: %s, %s; want %s", c.Name, c.Outcome, c.Detail, detail)
		}
	}
	if _, err := CheckCryptography(t.Context(), CryptographyHarness{New: func(T) core.CryptographyManager { return nil }, Skip: map[string]string{"sizes/none": ""}}); err == nil {
		t.Error("a Skip of what is no case is taken")
	}
	if _, err := CheckCryptography(t.Context(), CryptographyHarness{}); err == nil {
		t.Error("a harness without New is taken")
	}
}

// misshapen has a method that the suite would pass over.
type misshapen struct{ *gcm }

func (misshapen) OtherKey() core.CryptographyManager { return nil }

func TestAManagersMethodOfTheWrongShapeIsNotIgnored(t *testing.T) {
	report, err := CheckCryptography(t.Context(), CryptographyHarness{New: func(T) core.CryptographyManager { return misshapen{newGCM(cryptoKey)} }})
	if err == nil || !strings.Contains(report.Cases[0].Detail, "a method OtherKey that the suite can't call") {
		t.Errorf("%+v, %v", report.Cases[0], err)
	}
}

func TestAKeyInAFieldOfAManagerIsFoundUnderTheHarnessesStruct(t *testing.T) {
	report, _ := CheckCryptography(t.Context(), CryptographyHarness{New: func(T) core.CryptographyManager {
		return holder{&leaky{gcm: newGCM(cryptoKey), Key: cryptoKey}}
	}})
	for _, c := range report.Cases {
		if c.Name == "redaction/keys" && c.Outcome != Failed {
			t.Errorf("%s: %s, %s", c.Name, c.Outcome, c.Detail)
		}
	}
}

type leaky struct {
	*gcm
	Key []byte
}

type holder struct{ core.CryptographyManager }

func (holder) Secrets() []string { return []string{string(cryptoKey)} }

package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// cryptographyTrial is one case that is tried with a manager.
type cryptographyTrial struct {
	*trial
	harness *CryptographyHarness
	manager core.CryptographyManager
}

// place is the associated data of most cases: a record's key.
var place = []byte("ana@contoso.com")

// another is one more manager from the harness.
func (c *cryptographyTrial) another() core.CryptographyManager {
	m := c.harness.New(c.host)
	if m == nil {
		c.Fatalf("CryptographyHarness.New returned nil")
	}
	return m
}

// otherKey returns the harness's manager with another key.
func (c *cryptographyTrial) otherKey() core.CryptographyManager {
	m := c.manager.(OtherKeyer).OtherKey(c.host)
	if m == nil {
		c.Fatalf("the harness's OtherKey returned nil")
	}
	return m
}

// encrypt is a step of the case itself: if it fails, the case ends.
func (c *cryptographyTrial) encrypt(m core.CryptographyManager, plaintext, place []byte) []byte {
	stored, err := m.Encrypt(c.ctx, plaintext, place)
	if err != nil {
		c.Fatalf("Encrypt of %s with associated data %s: %v", brief(plaintext), brief(place), err)
	}
	return stored
}

// wantPlain expects that stored decrypts to plaintext.
func (c *cryptographyTrial) wantPlain(m core.CryptographyManager, stored, place, plaintext []byte) {
	switch got, err := m.Decrypt(c.ctx, bytes.Clone(stored), place); {
	case err != nil:
		c.Errorf("Decrypt of what Encrypt made of %s with associated data %s: %v", brief(plaintext), brief(place), err)
	case !bytes.Equal(got, plaintext):
		c.Errorf("Decrypt = %s, want %s%s", brief(got), brief(plaintext), difference(got, plaintext))
	}
}

// wantRefused expects ErrDecrypt, and no plaintext beside it.
func (c *cryptographyTrial) wantRefused(m core.CryptographyManager, stored, place []byte, format string, args ...any) {
	got, err := m.Decrypt(c.ctx, bytes.Clone(stored), place)
	what := "Decrypt of " + fmt.Sprintf(format, args...)
	if !errors.Is(err, core.ErrDecrypt) {
		c.Errorf("%s = %d bytes, %v; want core.ErrDecrypt", what, len(got), err)
	} else if len(got) > 0 {
		c.Errorf("%s answers core.ErrDecrypt and %d bytes beside it", what, len(got))
	}
}

// noise returns n bytes that can't be compressed. One seed always gives the same bytes.
func noise(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// scattered calls f for each number below n. If f takes so long that there is no time for
// all, the numbers are spread evenly.
func (c *cryptographyTrial) scattered(n int, f func(i int)) {
	const prime = 1_000_003 // has no divisor in common with any n below it
	c.often(min(n, 64), n, func(i int) { f(i * prime % n) })
}

// spare is the room after the slices that roomy returns.
const spare = 64

// roomy returns a copy of b with room after it, to which a careless append would write,
// and a function that describes a change of either, or returns "".
func roomy(b []byte) (slice []byte, changed func() string) {
	whole := bytes.Repeat([]byte{0xA5}, len(b)+spare)
	copy(whole, b)
	kept := bytes.Clone(whole)
	return whole[:len(b)], func() string {
		for i := range whole {
			if whole[i] != kept[i] {
				if i < len(b) {
					return fmt.Sprintf("changed its byte %d", i)
				}
				return fmt.Sprintf("wrote into the caller's array, %d bytes behind its end", i-len(b))
			}
		}
		return ""
	}
}

// overwrite overwrites b and the room after it.
func overwrite(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0x5A
	}
}

// printable returns the manager, and the exported fields of one that is a struct: a
// struct of the harness would print an embedded manager as an address.
func (c *cryptographyTrial) printable() []any {
	all := []any{c.manager}
	v := reflect.ValueOf(c.manager)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return all
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			all = append(all, v.Field(i).Interface())
		}
	}
	return all
}

// secrets are the texts that the manager must not print: the plaintexts of these cases,
// and the keys if the harness tells them.
func (c *cryptographyTrial) secrets() []string {
	all := []string{canary}
	if holder, ok := c.manager.(SecretHolder); ok {
		all = append(all, holder.Secrets()...)
	}
	return all
}

// wantHidden looks for every secret in text, and reports a secret without showing it.
func (c *cryptographyTrial) wantHidden(what, text string) {
	for i, secret := range c.secrets() {
		whose := "the record"
		if i > 0 {
			whose = "a key"
		}
		if form := shown(text, secret, true); form != "" {
			c.Errorf("%s shows %s, %s", what, whose, form)
		}
	}
}

// mistakes decrypts broken records of every kind, and passes each error to seen.
func (c *cryptographyTrial) mistakes(seen func(what string, err error)) {
	stored := c.encrypt(c.manager, secret(1), place)
	try := func(what string, stored, place []byte) {
		_, err := c.manager.Decrypt(c.ctx, bytes.Clone(stored), place)
		seen(what, err)
	}
	try("a plain record", secret(1), place)
	try("a record cut short", stored[:len(stored)/2], place)
	try("a record without its first byte", stored[1:], place)
	for _, at := range []int{0, len(stored) / 4, len(stored) / 2, len(stored) - 1} {
		altered := bytes.Clone(stored)
		altered[at] ^= 1
		try("an altered record", altered, place)
	}
	try("a record and a plain one behind it", append(bytes.Clone(stored), secret(2)...), place)
	if c.harness.Unbound == "" {
		try("a record of another place", stored, []byte("bob@contoso.com"))
	}
	if other, ok := c.manager.(OtherKeyer); ok {
		try("a record under another key", c.encrypt(other.OtherKey(c.host), secret(1), place), place)
	}
}

// busy runs f in eight goroutines, many times in each if f is quick.
func (c *cryptographyTrial) busy(f func(worker, round int)) {
	begun := time.Now()
	c.together(8, func(worker int) {
		for round := 0; round < 3 || round < 200 && time.Since(begun) < c.enough(); round++ {
			if f(worker, round); c.Failed() || c.ctx.Err() != nil {
				return
			}
		}
	})
}

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// cryptographySuite lists the groups in the order in which they run.
func cryptographySuite() []cryptographyGroup {
	return []cryptographyGroup{
		{"basics", cryptographyBasics()},
		{"binding", binding()},
		{"tampering", tampering()},
		{"nonces", nonces()},
		{"sizes", sizes()},
		{"keys", cryptographyKeys()},
		{"context", cryptographyContext()},
		{"slices", callersSlices()},
		{"concurrent", concurrent()},
		{"redaction", cryptographyRedaction()},
	}
}

func cryptographyBasics() []cryptographyCase {
	return []cryptographyCase{
		{"round-trip", must("Decrypt returns the bytes that Encrypt was given: text, NUL, line ends and white space at either end, and invalid UTF-8."), 0,
			func(c *cryptographyTrial) {
				for _, plaintext := range [][]byte{
					[]byte(`{"AccessToken":{}}`), text(1), {0}, []byte("\x00\x00"), []byte("a\x00"), []byte("\x00a"), []byte(" \t\r\n{}\r\n\t "),
					[]byte("\xff\xfe\xc3\x28"), noise(1, 256), bytes.Repeat([]byte{16}, 32),
				} {
					for _, place := range [][]byte{place, []byte("\x00"), []byte("production\x00o365_token.txt"), noise(2, 300)} {
						c.wantPlain(c.manager, c.encrypt(c.manager, plaintext, place), place, plaintext)
					}
				}
			}},
		{"again", must("A record decrypts any number of times and in any order."), 0,
			func(c *cryptographyTrial) {
				var stored [][]byte
				for i := range 10 {
					stored = append(stored, c.encrypt(c.manager, text(i), place))
				}
				for range 3 {
					for i := range stored {
						last := len(stored) - 1 - i
						c.wantPlain(c.manager, stored[last], place, text(last))
					}
				}
			}},
		{"empty", must("An empty plaintext survives, and its stored form is not empty, because a backend refuses empty data."), 0,
			func(c *cryptographyTrial) {
				for _, empty := range [][]byte{nil, {}} {
					stored := c.encrypt(c.manager, empty, place)
					if len(stored) == 0 {
						c.Errorf("Encrypt of an empty plaintext stores nothing")
					}
					c.wantPlain(c.manager, stored, place, empty)
				}
			}},
		{"no-associated-data", must("Empty associated data are as good as others, and nil is empty."), 0,
			func(c *cryptographyTrial) {
				c.wantPlain(c.manager, c.encrypt(c.manager, text(1), nil), []byte{}, text(1))
				c.wantPlain(c.manager, c.encrypt(c.manager, text(1), []byte{}), nil, text(1))
			}},
		{"hidden", must("The stored form doesn't show the plaintext: not as it is, nor in hexadecimal or base64."), 0,
			func(c *cryptographyTrial) {
				if form := printed(string(c.encrypt(c.manager, secret(1), place)), true); form != "" {
					c.Errorf("what is stored shows the record, %s", form)
				}
			}},
	}
}

// places are associated data that differ a little from place, or are equal to it for a
// scheme that shortens, trims or folds.
func places() [][]byte {
	return [][]byte{
		nil, []byte("bob@contoso.com"), []byte("Ana@contoso.com"), []byte("ana@contoso.co"), []byte("ana@contoso.com "), []byte(" ana@contoso.com"),
		[]byte("ana@contoso.com\x00"), []byte("\x00ana@contoso.com"), []byte("production\x00ana@contoso.com"), []byte("ana@contoso.con"), []byte("moc.osotnoc@ana"),
		[]byte("ana@contoso.comana@contoso.com"),
	}
}

func binding() []cryptographyCase {
	return []cryptographyCase{
		{"bound", must("Associated data are bound: a record that was encrypted with them is refused with any others."), binds,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, text(1), place)
				for _, other := range places() {
					c.wantRefused(c.manager, stored, other, "a record stored with associated data %q, read with %q,", place, other)
					c.wantRefused(c.manager, c.encrypt(c.manager, text(1), other), place, "a record stored with associated data %q, read with %q,", other, place)
				}
			}},
		{"bound-whole", must("Associated data are bound to their last byte, however long they are."), binds,
			func(c *cryptographyTrial) {
				for _, size := range []int{16, 17, 32, 64, 65, 150, 256, 301, 4096} {
					long := noise(3, size)
					stored := c.encrypt(c.manager, text(1), long)
					for _, at := range []int{0, size / 2, size - 1} {
						other := bytes.Clone(long)
						other[at] ^= 1
						c.wantRefused(c.manager, stored, other, "a record read with associated data whose byte %d of %d differs", at, size)
					}
				}
			}},
		{"bound-apart", must("Associated data and plaintext are kept apart: a byte that moves from one to the other is noticed."), binds,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, []byte("bc"), []byte("a"))
				for _, place := range []string{"ab", "abc", "", "bca"} {
					c.wantRefused(c.manager, stored, []byte(place), "%q stored with associated data %q, read with %q,", "bc", "a", place)
				}
			}},
		{"unbound", must("A manager that is said to leave associated data unbound does so; otherwise the claim is out of date."), unbound,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, text(1), place)
				for _, other := range places() {
					if _, err := c.manager.Decrypt(c.ctx, bytes.Clone(stored), other); err != nil {
						c.Errorf("a record stored with associated data %q, read with %q: %v. They are bound, and Unbound says: %s", place, other, err, c.harness.Unbound)
					}
				}
			}},
	}
}

func tampering() []cryptographyCase {
	return []cryptographyCase{
		{"bits", must("A stored record with any one bit flipped is refused."), 0,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, text(1), place)
				c.scattered(8*len(stored), func(i int) {
					altered := bytes.Clone(stored)
					altered[i/8] ^= 1 << (i % 8)
					c.wantRefused(c.manager, altered, place, "a record of %d bytes whose byte %d is %#x instead of %#x", len(stored), i/8, altered[i/8], stored[i/8])
				})
			}},
		{"cut", must("A stored record that lacks any number of bytes, at its end or at its beginning, is refused; so is an empty one."), 0,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, text(1), place)
				c.wantRefused(c.manager, nil, place, "nothing")
				c.scattered(len(stored), func(i int) {
					c.wantRefused(c.manager, stored[:i], place, "the first %d of %d bytes", i, len(stored))
					c.wantRefused(c.manager, stored[i+1:], place, "the last %d of %d bytes", len(stored)-i-1, len(stored))
				})
			}},
		{"shifted", must("A stored record with a byte too few or too many in any place is refused."), 0,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, text(1), place)
				c.scattered(len(stored), func(i int) {
					c.wantRefused(c.manager, append(bytes.Clone(stored[:i]), stored[i+1:]...), place, "a record without its byte %d of %d", i, len(stored))
					c.wantRefused(c.manager, append(append(bytes.Clone(stored[:i]), 'A'), stored[i:]...), place, "a record with an A put in before byte %d of %d", i, len(stored))
				})
				c.wantRefused(c.manager, append(bytes.Clone(stored), 'A'), place, "a record with an A behind it")
				c.wantRefused(c.manager, append(bytes.Clone(stored), stored...), place, "a record that stands there twice")
			}},
		{"spliced", must("The beginning of one record with the end of another is refused."), 0,
			func(c *cryptographyTrial) {
				one, two := c.encrypt(c.manager, noise(4, 1024), place), c.encrypt(c.manager, noise(5, 1024), place)
				first, last := 0, min(len(one), len(two))
				for first < last && one[first] == two[first] {
					first++
				}
				for last > first && one[last-1] == two[last-1] {
					last--
				}
				for i := range 16 {
					if at := first + 1 + i*(last-first)/16; at < last && !bytes.Equal(one[at:], two[at:]) {
						c.wantRefused(c.manager, append(bytes.Clone(one[:at]), two[at:]...), place, "%d bytes of a record and the rest of another", at)
					}
				}
			}},
		{"foreign", must("A record that the manager didn't encrypt is refused: above all a plain record, which everybody can write."), 0,
			func(c *cryptographyTrial) {
				for _, foreign := range [][]byte{
					[]byte("{}"), []byte(`{"AccessToken":{}}`), text(1), []byte("null"), []byte(" "), {0}, make([]byte, 28), make([]byte, 4096), noise(6, 16), noise(7, 73), noise(8, 4096),
					[]byte("gAAAAAB" + strings.Repeat("A", 93)), []byte("graphtoken:1:0123456789abcdef:" + strings.Repeat("A", 40)),
					append([]byte("graphtoken:3:0123456789abcdef:"), noise(14, 40)...), append([]byte("graphtoken:4:YQ:YQ:"), noise(15, 40)...), []byte(strings.Repeat("A", 4096)),
				} {
					c.wantRefused(c.manager, foreign, place, "%s, which it didn't make,", brief(foreign))
				}
			}},
	}
}

func nonces() []cryptographyCase {
	return []cryptographyCase{
		{"unique", must("However often the same plaintext is encrypted, the stored forms differ."), 0,
			func(c *cryptographyTrial) {
				seen := map[string]int{}
				c.often(20, 1_500, func(i int) {
					stored := string(c.encrypt(c.manager, text(1), place))
					if before, ok := seen[stored]; ok {
						c.Errorf("encryptions %d and %d of the same are alike", before+1, i+1)
					}
					seen[stored] = i
				})
			}},
		{"fresh", must("Two encryptions of the same plaintext have nothing in common but their first and last bytes: no nonce, block or keystream is used twice, nor for another place, nor in another process."), 0,
			func(c *cryptographyTrial) {
				plaintext := noise(9, 4096)
				again := c.another()
				all := [][]byte{
					c.encrypt(c.manager, plaintext, place), c.encrypt(c.manager, plaintext, place),
					c.encrypt(again, plaintext, place), c.encrypt(again, plaintext, []byte("bob@contoso.com")),
				}
				for i, a := range all {
					for j, b := range all[:i] {
						if same := alike(a, b); same > 0.5 {
							c.Errorf("two encryptions of the same %d bytes (%d and %d) agree in %.0f %% of what they don't share at either end", len(plaintext), j+1, i+1, 100*same)
						}
					}
				}
			}},
	}
}

// alike returns the part that two stored forms have in common, byte for byte, between
// their common beginning and their common end. Forms that have all but a few bytes in
// common are alike.
func alike(a, b []byte) float64 {
	n := min(len(a), len(b))
	first, tail := 0, 0
	for first < n && a[first] == b[first] {
		first++
	}
	for tail < n-first && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	middle := n - first - tail
	if middle < n/4 {
		return 1
	}
	same := 0
	for i := first; i < first+middle; i++ {
		if a[i] == b[i] {
			same++
		}
	}
	return float64(same) / float64(middle)
}

func sizes() []cryptographyCase {
	return []cryptographyCase{
		{"small", must("Every length up to 300 bytes survives, and so do those around 4 KiB."), 0,
			func(c *cryptographyTrial) {
				c.scattered(301, func(i int) { c.wantSurvives(noise(10, i)) })
				c.scattered(33, func(i int) { c.wantSurvives(noise(11, 4080+i)) })
			}},
		{"zeros", must("Plaintexts of NUL bytes alone, and plaintexts that end like a padding, keep their length."), 0,
			func(c *cryptographyTrial) {
				c.scattered(33, func(i int) {
					for _, b := range []byte{0, 1, 16, 0x80, 0xff, byte(i)} {
						c.wantSurvives(bytes.Repeat([]byte{b}, i))
					}
				})
			}},
		{"64-KiB", must("64 KiB survive, and a byte more or less does."), 0,
			func(c *cryptographyTrial) {
				for _, size := range []int{64<<10 - 1, 64 << 10, 64<<10 + 1} {
					c.wantSurvives(noise(12, size))
				}
			}},
		{"1-MiB", must("1 MiB survives, and a flipped bit in it is noticed wherever it is."), 0,
			func(c *cryptographyTrial) {
				plaintext := noise(13, 1<<20)
				c.wantSurvives(plaintext)
				stored := c.encrypt(c.manager, plaintext, place)
				for i := range 8 {
					at := len(stored)/16 + i*len(stored)/8
					altered := bytes.Clone(stored)
					altered[at] ^= 1
					c.wantRefused(c.manager, altered, place, "a record of %d bytes whose byte %d was altered", len(stored), at)
				}
			}},
	}
}

func (c *cryptographyTrial) wantSurvives(plaintext []byte) {
	c.wantPlain(c.manager, c.encrypt(c.manager, plaintext, place), place, plaintext)
}

func cryptographyKeys() []cryptographyCase {
	return []cryptographyCase{
		{"other", must("A record that was encrypted with another key is refused; and a manager with another key refuses the records of this one."), hasOtherKey,
			func(c *cryptographyTrial) {
				other := c.otherKey()
				mine, theirs := c.encrypt(c.manager, text(1), place), c.encrypt(other, text(2), place)
				c.wantPlain(other, theirs, place, text(2))
				c.wantRefused(c.manager, theirs, place, "a record under another key")
				c.wantRefused(other, mine, place, "a record under this key, by the manager of the other,")
			}},
		{"told-apart", must("The error tells a missing key from a damaged or misplaced record: a missing key can be added, a damaged record is lost."), hasOtherKey | tellsKeys,
			func(c *cryptographyTrial) {
				isWrongKey := c.manager.(KeyTeller).IsWrongKey
				want := func(what string, stored, place []byte, want bool) {
					_, err := c.manager.Decrypt(c.ctx, stored, place)
					if err == nil {
						c.Errorf("Decrypt of %s succeeds", what)
					} else if isWrongKey(err) != want {
						c.Errorf("Decrypt of %s = %v, of which IsWrongKey says %v", what, err, !want)
					}
				}
				mine := c.encrypt(c.manager, text(1), place)
				altered := bytes.Clone(mine)
				altered[len(altered)-1] ^= 1
				want("a record under another key", c.encrypt(c.otherKey(), text(2), place), place, true)
				want("a record whose last byte was altered", altered, place, false)
				want("a record without its last byte", mine[:len(mine)-1], place, false)
				want("nothing", nil, place, false)
				if c.harness.Unbound == "" {
					want("a record of another place", mine, []byte("bob@contoso.com"), false)
				}
			}},
	}
}

func cryptographyContext() []cryptographyCase {
	return []cryptographyCase{
		{"cancelled", must("With a context that is done, a method does its work or returns the context's error. It never calls a good record damaged."), 0,
			func(c *cryptographyTrial) {
				stored := c.encrypt(c.manager, text(1), place)
				cancelled, cancel := context.WithCancel(c.ctx)
				cancel()
				expired, cancel := context.WithDeadline(c.ctx, time.Now().Add(-time.Second))
				defer cancel()
				for ctx, want := range map[context.Context]error{cancelled: context.Canceled, expired: context.DeadlineExceeded} {
					switch made, err := c.manager.Encrypt(ctx, text(2), place); {
					case err != nil:
						c.wantErr(err, want, "Encrypt with a context that is done")
					default:
						c.wantPlain(c.manager, made, place, text(2))
					}
					switch got, err := c.manager.Decrypt(ctx, bytes.Clone(stored), place); {
					case errors.Is(err, core.ErrDecrypt):
						c.Errorf("Decrypt of a good record with a context that is done = %v: the record is called damaged", err)
					case err != nil:
						c.wantErr(err, want, "Decrypt with a context that is done")
					case !bytes.Equal(got, text(1)):
						c.Errorf("Decrypt with a context that is done = %s, want %s", brief(got), brief(text(1)))
					}
				}
			}},
		{"past", must("A manager works on after the context of an earlier call has ended."), 0,
			func(c *cryptographyTrial) {
				for range 2 {
					m := c.another()
					ctx, cancel := context.WithCancel(c.ctx)
					early, err := m.Encrypt(ctx, text(1), place)
					if err != nil {
						c.Fatalf("Encrypt: %v", err)
					}
					cancel()
					_, _ = m.Encrypt(ctx, text(2), place)
					_, _ = m.Decrypt(ctx, bytes.Clone(early), place)
					c.wantPlain(m, early, place, text(1))
					c.wantPlain(m, c.encrypt(m, text(3), place), place, text(3))
				}
				// And one whose first call had a context that was done.
				m := c.another()
				ctx, cancel := context.WithCancel(c.ctx)
				cancel()
				_, _ = m.Encrypt(ctx, text(1), place)
				c.wantPlain(m, c.encrypt(m, text(2), place), place, text(2))
			}},
	}
}

func callersSlices() []cryptographyCase {
	return []cryptographyCase{
		{"unchanged", must("Encrypt and Decrypt change neither their arguments nor the bytes after them in the caller's arrays, whether they succeed or not."), 0,
			func(c *cryptographyTrial) {
				plaintext, ofPlaintext := roomy(text(1))
				where, ofPlace := roomy(place)
				made := c.encrypt(c.manager, plaintext, where)
				stored, ofStored := roomy(made)
				broken, ofBroken := roomy(append(bytes.Clone(made), 'A'))
				look := func(method string) {
					for what, changed := range map[string]func() string{
						"the plaintext": ofPlaintext, "the associated data": ofPlace, "the stored form": ofStored, "a stored form that is refused": ofBroken,
					} {
						if s := changed(); s != "" {
							c.Errorf("%s was given %s, and %s", method, what, s)
						}
					}
				}
				look("Encrypt")
				if _, err := c.manager.Decrypt(c.ctx, stored, where); err != nil {
					c.Errorf("Decrypt: %v", err)
				}
				look("Decrypt")
				_, _ = c.manager.Decrypt(c.ctx, broken, where)
				look("Decrypt")
			}},
		{"not-retained", must("The manager keeps none of its arguments: later changes by the caller have no effect."), 0,
			func(c *cryptographyTrial) {
				plaintext, where := bytes.Clone(text(1)), bytes.Clone(place)
				made := c.encrypt(c.manager, plaintext, where)
				overwrite(plaintext)
				overwrite(where)
				c.wantPlain(c.manager, made, place, text(1))
				given := bytes.Clone(made)
				got, err := c.manager.Decrypt(c.ctx, given, place)
				if err != nil {
					c.Fatalf("Decrypt: %v", err)
				}
				overwrite(given)
				if !bytes.Equal(got, text(1)) {
					c.Errorf("the plaintext lies in the array of the stored form: it became %s", brief(got))
				}
				c.wantPlain(c.manager, made, place, text(1))
			}},
		{"callers-own", must("The results of Encrypt and Decrypt belong to the caller: no later call changes them, and the caller's changes to them, or to the bytes after them, change nothing else."), 0,
			func(c *cryptographyTrial) {
				one, two := c.encrypt(c.manager, text(1), place), c.encrypt(c.manager, text(2), place)
				kept := bytes.Clone(one)
				overwrite(two)
				c.encrypt(c.manager, text(3), place)
				if !bytes.Equal(one, kept) {
					c.Errorf("what Encrypt returned changed later")
				}
				first, err := c.manager.Decrypt(c.ctx, bytes.Clone(one), place)
				if err != nil {
					c.Fatalf("Decrypt: %v", err)
				}
				second, err := c.manager.Decrypt(c.ctx, bytes.Clone(one), place)
				if err != nil {
					c.Fatalf("Decrypt: %v", err)
				}
				overwrite(second)
				if !bytes.Equal(first, text(1)) {
					c.Errorf("what Decrypt returned changed later: %s", brief(first))
				}
				c.wantPlain(c.manager, kept, place, text(1))
				c.wantSurvives(text(4))
			}},
	}
}

func concurrent() []cryptographyCase {
	return []cryptographyCase{
		{"round-trips", must("Many callers may encrypt and decrypt at the same time, each for another place."), 0,
			func(c *cryptographyTrial) {
				old := c.encrypt(c.manager, text(0), place)
				c.busy(func(worker, round int) {
					plaintext, where := fmt.Appendf(nil, "%d %d %s", worker, round, text(round)), fmt.Appendf(nil, "user-%d", worker)
					c.wantPlain(c.manager, c.encrypt(c.manager, plaintext, where), where, plaintext)
					c.wantPlain(c.manager, old, place, text(0))
				})
			}},
		{"first-calls", must("Many callers may make the first call of a manager at the same time."), 0,
			func(c *cryptographyTrial) {
				c.rounds(func(int) {
					m := c.another()
					c.together(8, func(i int) { c.wantPlain(m, c.encrypt(m, text(i), place), place, text(i)) })
				})
			}},
		{"refusals", must("While one caller decrypts a record that is refused, another decrypts a good one without a fault."), 0,
			func(c *cryptographyTrial) {
				good := c.encrypt(c.manager, text(1), place)
				bad := append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1)
				c.busy(func(worker, round int) {
					if worker%2 == 0 {
						c.wantPlain(c.manager, good, place, text(1))
						return
					}
					c.wantRefused(c.manager, bad, place, "an altered record beside good ones")
				})
			}},
	}
}

func cryptographyRedaction() []cryptographyCase {
	return []cryptographyCase{
		{"errors", must("No error shows a record or a key."), 0,
			func(c *cryptographyTrial) {
				c.mistakes(func(what string, err error) {
					for _, verb := range []string{"%v", "%+v", "%#v"} {
						c.wantHidden("the error of Decrypt of "+what, fmt.Sprintf(verb, err))
					}
				})
			}},
		{"prints", must("Printing a manager shows no record that went through it: in fmt, log/slog and JSON."), 0,
			func(c *cryptographyTrial) { c.wantPrintsHidden() }},
		{"keys", must("Printing a manager shows none of its keys: in fmt, log/slog and JSON."), hasSecrets,
			func(c *cryptographyTrial) { c.wantPrintsHidden() }},
		{"logs", must("Nothing a manager writes to the default loggers shows a record or a key."), 0,
			func(c *cryptographyTrial) {
				logged := captureLogs()
				defer logged.stop()
				c.mistakes(func(string, error) {})
				c.wantSurvives(secret(2))
				logged.stop()
				c.wantHidden("the log", logged.String())
			}},
	}
}

// wantPrintsHidden prints the manager in every way.
func (c *cryptographyTrial) wantPrintsHidden() {
	c.wantSurvives(secret(1))
	c.mistakes(func(string, error) {})
	for _, v := range c.printable() {
		var all strings.Builder
		text := slog.New(slog.NewTextHandler(&all, nil))
		asJSON := slog.New(slog.NewJSONHandler(&all, nil))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&all, verb+"\n", v)
		}
		text.Info("manager", "it", v)
		asJSON.Info("manager", "it", v)
		if b, err := json.Marshal(v); err == nil { // what can't be encoded isn't shown
			all.Write(b)
		}
		c.wantHidden(fmt.Sprintf("a %T, printed,", v), all.String())
	}
}

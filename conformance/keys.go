package conformance

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func keys() []testCase {
	return []testCase{
		{"plain", must("Keys as people choose them each name a record of their own."), 0,
			distinct("o365_token.txt", "O365TOKEN", "token", "ana@contoso.com", "ana@fabrikam.com", "tenant-1.user_2", "42", "a b c", "Ана", "トークン", "🔑")},
		{"case", must("Keys that differ only in upper and lower case name different records."), 0,
			distinct("ana", "Ana", "ANA", "aNa", "zoë", "ZOË", "straße", "STRASSE", "ı", "i", "I", "İ", "ſ", "s", "K", "k")},
		{"unicode", must("Keys that Unicode treats as equivalent name different records."), 0,
			distinct("\u00e9", "e\u0301", "\u212b", "\u00c5", "A\u030a", "\ufb01", "fi", "\uff21", "a\u200db", "a\u200bb", "ab", "\ufeffab", "\u202eab", "\u00ad", "Ω", "\u2126", "e", "u", "\u00fc", "🔑", "🔒")},
		{"separators", must("Separators and dots in a key have no special meaning."), 0,
			distinct("a/b", `a\b`, "a//b", "a/./b", "a/", "/a", "a", "a/../a", "../a", "..", ".", "...", "/", "//", `\`, "./a", "a/b/c", "a:b", "a|b", "a;b", "a,b", "~", "~/a", "C:", `C:\a`)},
		{"spaces", must("White space and control characters in a key count, also at its ends."), 0,
			distinct("a", " a", "a ", " a ", "a\t", "a\n", "\na", "a\r\n", "a  b", "a b", "a\u00a0b", " ", "  ", "\t", "\x01", "\x1f", "\x7f", "a.", "a..")},
		{"punctuation", must("Characters with a meaning to stores, shells and query languages have none in a key."), 0,
			distinct("*", "?", "a*", "[a]", "{a}", "{", "}", "(a)", "%", "%%", "%s", "_", "a%2Fb", "a%2fb", "a/b", "%61", "a", "+", "a+b", "a b", "a?b", "a#b", "a&b", "a=b", "=", "&", "#", "$a", "${a}", "`a`", `"a"`, "'a'", "' OR '1'='1", "; DROP TABLE tokens; --", "<a>", "!", "^", "@", "-a", "--", "=41", "=3D", "==3d", "~a")},
		{"helper-names", must("Keys that look like a store's own helper files, locks and versions are ordinary keys, also while the lease of the key that they resemble is held."), 0,
			func(c *trial) {
				if c.want.Lease {
					c.held(c.acquire(c.open(), "token", holding))
					c.held(c.acquire(c.open(), "a/b", holding))
				}
				distinct("token", "token.lock", "token.lck", ".token.lock", "token.lease", "token.tmp", "token~", "#token#", ".token.swp", "token.bak", "token.version", "token.json", "token-lock", "token_lock",
					"token:lock", "token/lock", "token:lease", "token/lease", "lock:token", "lock/token", "lease:token", "lease/token", "leases", "locks", "lock", ".lock", ".tmp", ".locks", ".leases", ".graphtoken", ".graphtoken/token", "_token", "__token__", "tmp", ".env", ".git")(c)
			}},
		{"reserved-names", must("Names that an operating system reserves are ordinary keys."), 0,
			distinct("CON", "con", "con.txt", "PRN", "AUX", "aux.json", "NUL", "nul.", "COM1", "com1.log", "LPT9", "CONIN$", "desktop.ini", "Thumbs.db", ".DS_Store", "PATH", "HOME", "index", "null", "undefined", "None", "true", "__proto__", "constructor", "__name__")},
		{"long", must("A key may have 150 bytes, and each of them counts."), 0,
			distinct(long("a"), long("b"), long("a")[1:], long("A"), strings.Repeat("/", 150), strings.Repeat(".", 150), strings.Repeat("é", 75), strings.Repeat("é", 74)+"ee", strings.Repeat("🔑", 37), strings.Repeat("x", 149)+"/", strings.Repeat("%", 150), strings.Repeat(" ", 150), strings.Repeat("a/", 75))},
		{"long-everywhere", must("A key of 150 bytes works in every method, also beside one that differs from it in the last byte alone."), 0,
			func(c *trial) {
				a, b := c.pair()
				one, other := long("a"), long("b")
				v := c.replace(a, one, text(1), c.absent())
				c.save(b, other, text(2))
				v = c.replace(b, one, text(3), v)
				if c.want.Lease {
					lease := c.acquire(a, one, holding)
					c.wantHeld(b, one)
					c.wantFree(b, other)
					if err := lease.Renew(c.ctx, holding); err != nil {
						c.Errorf("Renew: %v", err)
					}
					if c.want.Watch {
						ctx, cancel := context.WithTimeout(c.ctx, 50*time.Millisecond)
						if err := c.watcher(b).Wait(ctx, one, v); err == nil {
							c.Errorf("Wait(%q) = nil, though the lease is held and the version is the one seen", one)
						}
						cancel()
						if err := c.watcher(b).Wait(c.soon(), other, c.load(b, other).Version); err != nil {
							c.Errorf("Wait(%q) = %v, and its lease is free", other, err)
						}
					}
					c.release(lease)
					c.wantFree(b, one)
				}
				if c.want.Coordinates {
					d, err := b.ShouldRefresh(c.soon(), one, core.RefreshRequest{Seen: v, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
						c.wantCurrent(current, text(3), v)
						_, err := b.Save(ctx, one, core.Record{Data: text(4), Version: current.Version})
						return err
					}})
					c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
					c.wantRecord(a, one, text(4))
				}
				c.wantRecord(a, other, text(2))
				if c.want.List {
					c.wantKeys(b, one, other)
				}
				c.delete(a, one)
				c.wantNone(b, one)
				c.wantRecord(b, other, text(2))
			}},
		{"prefixes", must("A key that begins with another key is neither read nor deleted together with it."), 0,
			func(c *trial) {
				all := []string{"token", "token1", "token10", "token-", "token.", "tokens", "toke", "t", "token/", "token/1", "token*", "token%"}
				distinct(all...)(c)
				a, b := c.pair()
				for i, key := range all {
					c.save(a, key, text(i))
				}
				c.delete(a, "token")
				c.delete(a, "t")
				for i, key := range all {
					if key == "token" || key == "t" {
						c.wantNone(b, key)
					} else {
						c.wantRecord(b, key, text(i))
					}
				}
			}},
		{"leases", must("Every key has a lease of its own, whatever the key looks like."), lease,
			func(c *trial) {
				a, b := c.pair()
				alike := []string{"ana", "Ana", "a/b", "a_b", "a%2Fb", `a\b`, "a:b", "..", ".", " ", "é", "e\u0301", "ana.lock", "con", "CON", long("a"), long("b")}
				for _, key := range alike {
					lease, err := c.leaser(a).Acquire(c.ctx, key, holding)
					if err != nil {
						c.Errorf("Acquire(%q) while the leases of other keys are held: %v", key, err)
						continue
					}
					c.held(lease)
				}
				for _, key := range alike {
					c.wantHeld(b, key)
				}
			}},
		{"waits", must("Wait looks at the record and the lease of its own key, and not at those of a key that looks like it."), watches | lease,
			func(c *trial) {
				a, b := c.pair()
				for _, alike := range [][2]string{{"Ana", "ana"}, {"a/b", "a_b"}, {"é", "e\u0301"}, {"token", "token.lock"}, {"user-1", "user-10"}} {
					held, free := alike[0], alike[1]
					v, other := c.save(a, held, text(1)), c.save(a, free, text(2))
					lease := c.acquire(a, held, holding)
					ctx, cancel := context.WithTimeout(c.ctx, 20*time.Millisecond)
					if err := c.watcher(b).Wait(ctx, held, v); err == nil {
						c.Errorf("Wait(%q) = nil, though the lease is held and the version is the one seen; that of %q is free", held, free)
					}
					cancel()
					if err := c.watcher(b).Wait(c.soon(), free, other); err != nil {
						c.Errorf("Wait(%q) = %v, and its lease is free; that of %q is held", free, err, held)
					}
					c.release(lease)
				}
			}},
		{"invalid", must("For a key that is empty, is longer than 150 bytes, has a NUL or is not UTF-8, every method returns ErrInvalidKey."), 0,
			func(c *trial) {
				a := c.open()
				for _, key := range []string{"", long("a") + "a", strings.Repeat("é", 76), strings.Repeat("x", 100_000), "a\x00b", "\x00", "a\xff", "\xc3", "\xed\xa0\x80"} {
					name := key[:min(len(key), 20)]
					_, err := a.Load(c.ctx, key)
					c.wantErr(err, core.ErrInvalidKey, "Load(%q, %d bytes)", name, len(key))
					_, err = a.Save(c.ctx, key, core.Record{Data: text(1), Version: core.AnyVersion})
					c.wantErr(err, core.ErrInvalidKey, "Save(%q, %d bytes)", name, len(key))
					_, err = a.Check(c.ctx, key)
					c.wantErr(err, core.ErrInvalidKey, "Check(%q, %d bytes)", name, len(key))
					c.wantErr(a.Delete(c.ctx, key), core.ErrInvalidKey, "Delete(%q, %d bytes)", name, len(key))
					_, err = a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: core.AnyVersion, Refresh: func(context.Context, core.Record) error {
						c.Errorf("ShouldRefresh(%q, %d bytes) runs Refresh", name, len(key))
						return errors.New("not for such a key")
					}})
					c.wantErr(err, core.ErrInvalidKey, "ShouldRefresh(%q, %d bytes)", name, len(key))
				}
			}},
	}
}

// long returns a key of the greatest length.
func long(last string) string {
	return strings.Repeat("k", core.MaxKeyLen-len(last)) + last
}

// distinct stores a record under each key, all at the same time. It expects to find each
// under its own key, and to delete each by itself.
func distinct(keys ...string) func(c *trial) {
	return func(c *trial) {
		a, b := c.pair()
		for i, key := range keys {
			switch ok, err := b.Check(c.ctx, key); {
			case err != nil:
				c.Errorf("Check(%q): %v", key, err)
			case ok:
				c.Errorf("Check(%q) = true before it was saved: it is one of %q", key, keys[:i])
			}
			if _, err := a.Save(c.ctx, key, core.Record{Data: text(i), Version: c.absent()}); err != nil {
				c.Errorf("Save(%q): %v", key, err)
			}
		}
		for i, key := range keys {
			c.wantRecord(b, key, text(i))
		}
		for i, key := range keys {
			if i%2 == 0 {
				c.delete(b, key)
			}
		}
		for i, key := range keys {
			if i%2 == 0 {
				c.wantNone(a, key)
			} else {
				c.wantRecord(a, key, text(i))
			}
		}
	}
}

// absent is the version that only creates, if the backend compares versions.
func (c *trial) absent() core.Version {
	if c.want.CAS == CASNone {
		return core.AnyVersion
	}
	return core.Absent
}

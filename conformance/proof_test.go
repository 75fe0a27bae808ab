package conformance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"log"
	"log/slog"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/conformance/internal/reference"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// mutant is a backend that is wrong in one way, and the case that must say so.
type mutant struct {
	what  string
	by    string // the case
	build func() func(b *broken)
	want  func(*Capabilities)
	size  int  // the store's MaxSize
	fixed bool // the clock can't be moved
}

// each breaks every handle in the same way.
func each(breaks func(b *broken)) func() func(b *broken) {
	return func() func(b *broken) { return breaks }
}

type (
	ctx = context.Context
	rec = core.Record
	ver = core.Version
)

var mutants = []mutant{
	// basics
	{what: "answers an empty record for an absent one", by: "basics/load-absent", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, core.ErrNotFound) {
				return rec{}, nil
			}
			return r, err
		}
	})},
	{what: "has an error of its own for absent", by: "basics/load-absent", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, core.ErrNotFound) {
				err = errors.New("no such thing")
			}
			return r, err
		}
	})},
	{what: "checks by loading, and passes the error on", by: "basics/check-absent", build: each(func(b *broken) {
		b.check = func(ctx ctx, key string) (bool, error) {
			_, err := b.Backend.Load(ctx, key)
			return err == nil, err
		}
	})},
	{what: "calls deleting nothing an error", by: "basics/delete-absent", build: each(func(b *broken) {
		b.delete = func(ctx ctx, key string) error {
			if ok, err := b.Backend.Check(ctx, key); err == nil && !ok {
				return core.ErrNotFound
			}
			return b.Backend.Delete(ctx, key)
		}
	})},
	{what: "keeps every handle's records to itself", by: "basics/round-trip", build: func() func(b *broken) {
		handles := 0
		return func(b *broken) {
			handles++
			n := handles
			b.renamed(func(key string) string {
				if core.ValidateKey(key) != nil {
					return key
				}
				return fmt.Sprintf("%d%s", n, key)
			})
		}
	}},
	{what: "loses the last write", by: "basics/overwrite", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if was, err := b.Backend.Load(ctx, key); err == nil && r.Version == core.AnyVersion {
				return was.Version, nil
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "writes over the old record without cutting it off", by: "basics/overwrite", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if was, err := b.Backend.Load(ctx, key); err == nil && len(was.Data) > len(r.Data) && len(r.Data) > 0 {
				r.Data = append(bytes.Clone(r.Data), was.Data[len(r.Data):]...)
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "answers from a cache of its own", by: "basics/fresh-reads", build: each(func(b *broken) {
		var mu sync.Mutex
		cache := map[string]rec{}
		b.load = func(ctx ctx, key string) (rec, error) {
			mu.Lock()
			defer mu.Unlock()
			if r, ok := cache[key]; ok {
				return r, nil
			}
			r, err := b.Backend.Load(ctx, key)
			if err == nil {
				cache[key] = r
			}
			return r, err
		}
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			mu.Lock()
			defer mu.Unlock()
			delete(cache, key)
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "remembers that a key was absent", by: "basics/fresh-reads", build: each(func(b *broken) {
		var absent sync.Map
		b.check = func(ctx ctx, key string) (bool, error) {
			if _, ok := absent.Load(key); ok {
				return false, nil
			}
			ok, err := b.Backend.Check(ctx, key)
			if err == nil && !ok {
				absent.Store(key, true)
			}
			return ok, err
		}
	})},
	{what: "deletes by marking, and Check doesn't look at the mark", by: "basics/delete", build: func() func(b *broken) {
		var known sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil {
					known.Store(key, true)
				}
				return v, err
			}
			b.check = func(ctx ctx, key string) (bool, error) {
				if _, ok := known.Load(key); ok {
					return true, nil
				}
				return b.Backend.Check(ctx, key)
			}
		}
	}},
	{what: "has one record for all keys", by: "basics/keys-apart", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			if core.ValidateKey(key) != nil {
				return key
			}
			return "the-token"
		})
	})},
	{what: "retains the slice it saves", by: "basics/saved-slice", build: func() func(b *broken) {
		var saved sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil {
					saved.Store(v, r.Data)
				}
				return v, err
			}
			b.load = func(ctx ctx, key string) (rec, error) {
				r, err := b.Backend.Load(ctx, key)
				if data, ok := saved.Load(r.Version); ok && err == nil {
					r.Data = bytes.Clone(data.(core.Data))
				}
				return r, err
			}
		}
	}},
	{what: "hands out the slice it stores", by: "basics/loaded-slice", build: aliasing},
	{what: "hands the slice it stores to Refresh", by: "refresh/current-slice", build: aliasing},
	{what: "makes a new version of what is read", by: "basics/reading", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if err == nil {
				_, err = b.Backend.Save(ctx, key, r)
			}
			return r, err
		}
	})},
	{what: "takes the time of a Load for Modified", by: "basics/modified", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			r.Modified = time.Now()
			return r, err
		}
	})},
	{what: "stores the Modified it is given", by: "basics/modified", build: func() func(b *broken) {
		var given sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				given.Store(key, r.Modified)
				return b.Backend.Save(ctx, key, r)
			}
			b.load = func(ctx ctx, key string) (rec, error) {
				r, err := b.Backend.Load(ctx, key)
				if m, ok := given.Load(key); ok {
					r.Modified = m.(time.Time)
				}
				return r, err
			}
		}
	}},
	{what: "keeps the key of the call in the handle", by: "basics/concurrent", build: each(func(b *broken) {
		var current atomic.Value
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if core.ValidateKey(key) != nil {
				return b.Backend.Save(ctx, key, r)
			}
			current.Store(key)
			runtime.Gosched()
			return b.Backend.Save(ctx, current.Load().(string), r)
		}
	})},

	// keys
	{what: "lets no space into a key", by: "keys/plain", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if strings.Contains(key, " ") {
				return "", core.ErrInvalidKey
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "folds case", by: "keys/case", build: each(func(b *broken) { b.renamed(strings.ToLower) })},
	{what: "normalizes Unicode", by: "keys/unicode", build: each(func(b *broken) {
		b.renamed(func(key string) string { return strings.ReplaceAll(key, "e\u0301", "\u00e9") })
	})},
	{what: "drops what has no width", by: "keys/unicode", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			return keepOne(key, strings.NewReplacer("\u200b", "", "\u200d", "").Replace(key))
		})
	})},
	{what: "cleans keys as paths", by: "keys/separators", build: each(func(b *broken) {
		b.renamed(func(key string) string { return keepOne(key, path.Clean(key)) })
	})},
	{what: "takes one separator for another", by: "keys/separators", build: each(func(b *broken) {
		b.renamed(func(key string) string { return strings.ReplaceAll(key, `\`, "/") })
	})},
	{what: "trims white space", by: "keys/spaces", build: each(func(b *broken) {
		b.renamed(func(key string) string { return keepOne(key, strings.TrimSpace(key)) })
	})},
	{what: "drops dots at the end, as Windows does", by: "keys/spaces", build: each(func(b *broken) {
		b.renamed(func(key string) string { return keepOne(key, strings.TrimRight(key, ".")) })
	})},
	{what: "takes a letter and the same with an accent for one, as collations do", by: "keys/unicode", build: each(func(b *broken) {
		b.renamed(func(key string) string { return strings.NewReplacer("\u00e9", "e", "\u00fc", "u").Replace(key) })
	})},
	{what: "has no characters beyond the first 65,536", by: "keys/unicode", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			if core.ValidateKey(key) != nil {
				return key
			}
			return strings.Map(func(r rune) rune {
				if r > 0xffff {
					return '?'
				}
				return r
			}, key)
		})
	})},
	{what: "takes a plus for a blank", by: "keys/punctuation", build: each(func(b *broken) {
		b.renamed(func(key string) string { return strings.ReplaceAll(key, "+", " ") })
	})},
	{what: "cuts the key off where a URL's path ends", by: "keys/punctuation", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			name, _, _ := strings.Cut(key, "?")
			return keepOne(key, name)
		})
	})},
	{what: "cuts the key off where a URL's fragment begins", by: "keys/punctuation", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			name, _, _ := strings.Cut(key, "#")
			return keepOne(key, name)
		})
	})},
	{what: "unescapes keys", by: "keys/punctuation", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			if plain, err := url.PathUnescape(key); err == nil {
				return keepOne(key, plain)
			}
			return key
		})
	})},
	{what: "replaces what it can't hold", by: "keys/punctuation", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			return strings.Map(func(r rune) rune {
				if strings.ContainsRune("*?[]{}()%&#$`\"'<>!^=+ ", r) {
					return '_'
				}
				return r
			}, key)
		})
	})},
	{what: "keeps a lease beside the record, as key.lock", by: "keys/helper-names", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if err == nil {
				_, err = b.Backend.Save(ctx, key+".lock", rec{Data: []byte("locked"), Version: core.AnyVersion})
			}
			return l, err
		}
	})},
	{what: "refuses names that Windows reserves", by: "keys/reserved-names", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if strings.EqualFold(key, "con") {
				return "", core.ErrInvalidKey
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "cuts long keys short", by: "keys/long", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			if core.ValidateKey(key) != nil {
				return key
			}
			return strings.ToValidUTF8(key[:min(len(key), 128)], "")
		})
	})},
	{what: "holds keys of 100 bytes at most", by: "keys/long", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(key) > 100 {
				return "", core.ErrInvalidKey
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "deletes everything that begins like the key", by: "keys/prefixes", build: each(func(b *broken) {
		b.delete = func(ctx ctx, key string) error {
			for other, err := range b.Backend.Keys(ctx) {
				if err == nil && strings.HasPrefix(other, key) {
					_ = b.Backend.Delete(ctx, other)
				}
			}
			return b.Backend.Delete(ctx, key)
		}
	})},
	{what: "folds case in the names of leases", by: "keys/leases", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, strings.ToLower(key), ttl)
		}
	})},
	{what: "takes any key", by: "keys/invalid", build: each(func(b *broken) {
		b.renamed(func(key string) string {
			if core.ValidateKey(key) != nil {
				return fmt.Sprintf("%.100x", key) + "-"
			}
			return key
		})
	})},
	{what: "takes keys that are too long for absent", by: "keys/invalid", build: each(func(b *broken) {
		b.check = func(ctx ctx, key string) (bool, error) {
			if len(key) > core.MaxKeyLen {
				return false, nil
			}
			return b.Backend.Check(ctx, key)
		}
	})},

	// payload
	{what: "ends data at a NUL", by: "payload/binary", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			if i := bytes.IndexByte(data, 0); i > 0 {
				return data[:i]
			}
			return data
		})
	})},
	{what: "trims data", by: "payload/binary", build: each(func(b *broken) { b.altered(bytes.TrimSpace) })},
	{what: "makes data valid UTF-8", by: "payload/binary", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte { return bytes.ToValidUTF8(data, []byte("?")) })
	})},
	{what: "translates line ends", by: "payload/binary", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte { return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")) })
	})},
	{what: "keeps JSON as a json.RawMessage", by: "payload/binary", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			if compact, err := json.Marshal(json.RawMessage(data)); err == nil {
				return compact
			}
			return data
		})
	})},
	{what: "stores empty data", by: "payload/empty", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			if len(data) == 0 {
				return []byte(" ")
			}
			return data
		})
	})},
	{what: "takes empty data for a Delete", by: "payload/empty", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if len(r.Data) == 0 {
				_ = b.Backend.Delete(ctx, key)
			}
			return v, err
		}
	})},
	{what: "cuts data at 65,535 bytes", by: "payload/64-KiB", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte { return data[:min(len(data), 65_535)] })
	})},
	{what: "refuses what is larger than it says", by: "payload/1-MiB", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(r.Data) > 1_000_000 {
				return "", core.ErrTooLarge
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "repeats the first half of large data", by: "payload/1-MiB", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			if half := len(data) / 2; half > 100_000 {
				return append(bytes.Clone(data[:half]), data[:len(data)-half]...)
			}
			return data
		})
	})},
	{what: "takes one byte more than it says", by: "payload/max-size", size: 1000, build: each(func(b *broken) {
		b.maxSize = func() int { return 999 }
	}), want: func(w *Capabilities) { w.MaxSize = 999 }},
	{what: "takes one byte less than it says", by: "payload/max-size", size: 1000, build: each(func(b *broken) {
		b.maxSize = func() int { return 1001 }
	}), want: func(w *Capabilities) { w.MaxSize = 1001 }},
	{what: "cuts short what is too large", by: "payload/max-size", size: 1000, build: each(func(b *broken) {
		b.altered(func(data []byte) []byte { return data[:min(len(data), 1000)] })
	}), want: func(w *Capabilities) { w.MaxSize = 1000 }},
	{what: "has an error of its own for what is too large", by: "payload/max-size", size: 1000, build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(r.Data) > 1000 {
				return "", errors.New("413 Payload Too Large")
			}
			return b.Backend.Save(ctx, key, r)
		}
	}), want: func(w *Capabilities) { w.MaxSize = 1000 }},
	{what: "tears: a record is written in two steps", by: "payload/whole", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == core.AnyVersion && len(r.Data) > 1 {
				if _, err := b.Backend.Save(ctx, key, rec{Data: r.Data[:len(r.Data)/2], Version: core.AnyVersion}); err != nil {
					return "", err
				}
				runtime.Gosched()
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "deletes before it writes", by: "payload/whole", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == core.AnyVersion && len(r.Data) > 0 {
				_ = b.Backend.Delete(ctx, key)
				runtime.Gosched()
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "leaves half a record when it is interrupted", by: "payload/interrupted", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if _, ok := ctx.Deadline(); !ok || len(r.Data) < 50_000 {
				return b.Backend.Save(ctx, key, r)
			}
			for n := len(r.Data) / 10; n < len(r.Data); n += len(r.Data) / 10 {
				if _, err := b.Backend.Save(ctx, key, rec{Data: r.Data[:n], Version: core.AnyVersion}); err != nil {
					return "", err
				}
				time.Sleep(50 * time.Microsecond)
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},

	// versions
	{what: "has no versions to show", by: "versions/shape", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			r.Version = ""
			return r, err
		}
	})},
	{what: "returns the version before", by: "versions/agree", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			was, _ := b.Backend.Load(ctx, key)
			v, err := b.Backend.Save(ctx, key, r)
			if err == nil && was.Version != "" {
				v = was.Version
			}
			return v, err
		}
	})},
	{what: "takes the length for a version", by: "versions/change", build: digesting(func(data []byte) ver { return ver(fmt.Sprint(len(data))) })},
	{what: "counts from one again after a Delete", by: "versions/change", build: func() func(b *broken) {
		var mu sync.Mutex
		counts := map[string]int{}
		return func(b *broken) {
			number := func(key string) ver { return ver(fmt.Sprint("n", counts[key])) }
			b.load = func(ctx ctx, key string) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				r, err := b.Backend.Load(ctx, key)
				r.Version = number(key)
				return r, err
			}
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				mu.Lock()
				defer mu.Unlock()
				if r.Version != core.AnyVersion && r.Version != core.Absent {
					if r.Version != number(key) {
						return "", core.ErrConflict
					}
					r.Version = core.AnyVersion
				}
				_, err := b.Backend.Save(ctx, key, r)
				if err == nil {
					counts[key]++
				}
				return number(key), err
			}
			b.delete = func(ctx ctx, key string) error {
				mu.Lock()
				defer mu.Unlock()
				delete(counts, key)
				return b.Backend.Delete(ctx, key)
			}
		}
	}},
	{what: "overwrites when asked to create", by: "versions/create-only", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == core.Absent {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "can't replace the version it answered", by: "versions/replace", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version != core.AnyVersion && r.Version != core.Absent {
				return "", core.ErrConflict
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "ignores versions", by: "versions/stale", build: each(func(b *broken) { b.save = b.ignoreVersions })},
	{what: "ignores versions, and claims otherwise", by: "claims/cas", build: each(func(b *broken) { b.save = b.ignoreVersions })},
	{what: "reports the conflict, and writes", by: "versions/stale", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, core.ErrConflict) {
				r.Version = core.AnyVersion
				_, _ = b.Backend.Save(ctx, key, r)
			}
			return v, err
		}
	})},
	{what: "changes the version when it refuses", by: "versions/stale", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if was, loaded := b.Backend.Load(ctx, key); loaded == nil && errors.Is(err, core.ErrConflict) {
				was.Version = core.AnyVersion
				_, _ = b.Backend.Save(ctx, key, was)
			}
			return v, err
		}
	})},
	{what: "reads a version as far as it understands it", by: "versions/unknown", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if was, err := b.Backend.Load(ctx, key); err == nil && strings.HasPrefix(string(r.Version), string(was.Version)) {
				r.Version = was.Version
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "sends a star in If-Match", by: "versions/unknown", build: each(func(b *broken) {
		b.matching(func(given, stored ver) bool { return given == "*" })
	})},
	{what: "compares as much of the version as it is given", by: "versions/unknown", build: each(func(b *broken) {
		b.matching(func(given, stored ver) bool {
			return given != core.Absent && given != core.AnyVersion && strings.HasPrefix(string(stored), string(given))
		})
	})},
	{what: "keeps the version in a column that folds case", by: "versions/unknown", build: each(func(b *broken) {
		b.matching(func(given, stored ver) bool { return strings.EqualFold(string(given), string(stored)) })
	})},
	{what: "keeps the version in a column that ignores spaces at the end", by: "versions/unknown", build: each(func(b *broken) {
		b.matching(func(given, stored ver) bool { return strings.TrimRight(string(given), " ") == string(stored) })
	})},
	{what: "refuses older versions only", by: "versions/unknown", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if was, err := b.Backend.Load(ctx, key); err == nil && r.Version == "999999999" {
				r.Version = was.Version
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "takes a version it can't read for any", by: "versions/unknown", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version != core.Absent && !strings.HasPrefix(string(r.Version), "v") {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "creates when asked to replace", by: "versions/deleted", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if ok, err := b.Backend.Check(ctx, key); err == nil && !ok && r.Version != core.Absent {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "takes any version for none", by: "versions/any", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == core.AnyVersion {
				r.Version = core.Absent
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "reads the version it returns after the write", by: "versions/any-concurrent", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if err == nil {
				runtime.Gosched()
				if now, loaded := b.Backend.Load(ctx, key); loaded == nil {
					v = now.Version
				}
			}
			return v, err
		}
	})},
	{what: "reads the data, and then the version", by: "versions/read-concurrent", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if err == nil {
				runtime.Gosched()
				if now, loaded := b.Backend.Load(ctx, key); loaded == nil {
					r.Version = now.Version
				}
			}
			return r, err
		}
	})},
	{what: "looks first and creates then", by: "versions/concurrent-create", build: each(func(b *broken) { b.save = b.twoSteps })},
	{what: "looks first and replaces then", by: "versions/concurrent-replace", build: each(func(b *broken) { b.save = b.twoSteps })},
	{what: "loses updates between two steps", by: "versions/no-lost-update", build: each(func(b *broken) { b.save = b.twoSteps })},
	{what: "brings back what is deleted between two steps", by: "versions/delete-beside-save", build: each(func(b *broken) { b.save = b.twoSteps })},

	// context
	{what: "doesn't look at the context", by: "context/cancelled", build: each(func(b *broken) {
		b.check = func(c ctx, key string) (bool, error) { return b.Backend.Check(context.WithoutCancel(c), key) }
	})},
	{what: "saves all the same when cancelled", by: "context/cancelled", build: each(func(b *broken) {
		b.save = func(c ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(context.WithoutCancel(c), key, r)
			return v, errors.Join(err, c.Err())
		}
	})},
	{what: "answers absent when cancelled", by: "context/cancelled", build: each(func(b *broken) {
		b.load = func(c ctx, key string) (rec, error) {
			if c.Err() != nil {
				return rec{}, core.ErrNotFound
			}
			return b.Backend.Load(c, key)
		}
	})},
	{what: "knows no deadlines", by: "context/expired", build: each(func(b *broken) {
		b.delete = func(c ctx, key string) error {
			if errors.Is(c.Err(), context.DeadlineExceeded) {
				c = context.WithoutCancel(c)
			}
			return b.Backend.Delete(c, key)
		}
	})},
	{what: "works under the context of its first call", by: "context/past", build: each(func(b *broken) {
		var mu sync.Mutex
		var first ctx
		b.load = func(ctx ctx, key string) (rec, error) {
			mu.Lock()
			if first == nil {
				first = ctx
			}
			mu.Unlock()
			return b.Backend.Load(first, key)
		}
	})},
	{what: "leases though its context is cancelled", by: "context/cancelled-acquire", build: each(func(b *broken) {
		b.acquire = func(c ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(context.WithoutCancel(c), key, ttl)
		}
	})},
	{what: "takes a lease and then finds its context cancelled", by: "context/cancelled-acquire", build: each(func(b *broken) {
		b.acquire = func(c ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(context.WithoutCancel(c), key, ttl)
			if c.Err() != nil {
				return nil, c.Err()
			}
			return l, err
		}
	})},
	{what: "waits on when its context is done", by: "context/waiting", build: each(func(b *broken) {
		b.shouldRefresh = coordinator{ignoresContext: true}.shouldRefresh(b)
	})},
	{what: "panics after Close", by: "context/closed", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, reference.ErrClosed) {
				panic("nil pointer dereference")
			}
			return r, err
		}
	})},
	{what: "answers absent after Close", by: "context/closed", build: each(func(b *broken) {
		b.check = func(ctx ctx, key string) (bool, error) {
			ok, err := b.Backend.Check(ctx, key)
			if errors.Is(err, reference.ErrClosed) {
				err = nil
			}
			return ok, err
		}
	})},
	{what: "leaves a goroutine behind with every Load", by: "context/goroutines", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			go func() { time.Sleep(5 * time.Second) }()
			return b.Backend.Load(ctx, key)
		}
	})},

	// leases
	{what: "leases within the handle only", by: "leases/exclusive", build: each(func(b *broken) {
		var local backend.LocalLeases
		b.acquire = local.Acquire
	})},
	{what: "gives a lease twice to one handle", by: "leases/exclusive", build: each(func(b *broken) {
		var mine sync.Map
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if held, ok := mine.Load(key); ok && errors.Is(err, core.ErrLeaseHeld) {
				return held.(core.Lease), nil
			}
			if err == nil {
				mine.Store(key, l)
			}
			return l, err
		}
	})},
	{what: "waits for a lease that is held", by: "leases/exclusive", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			for {
				l, err := b.Backend.Acquire(ctx, key, ttl)
				if !errors.Is(err, core.ErrLeaseHeld) {
					return l, err
				}
				time.Sleep(time.Millisecond)
			}
		}
	})},
	{what: "looks first and leases then", by: "leases/one-winner", build: func() func(b *broken) {
		var held sync.Map
		return func(b *broken) {
			b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
				if _, ok := held.Load(key); ok {
					return nil, core.ErrLeaseHeld
				}
				runtime.Gosched()
				held.Store(key, true)
				return &brokenLease{
					renew:   func(context.Context, time.Duration) error { return nil },
					release: func(context.Context) error { held.Delete(key); return nil },
				}, nil
			}
		}
	}},
	{what: "frees nothing", by: "leases/release", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, release: func(context.Context) error { return nil }}
		})
	})},
	{what: "calls a second Release a success", by: "leases/released", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, release: func(ctx context.Context) error {
				if err := l.Release(ctx); !errors.Is(err, core.ErrLeaseLost) {
					return err
				}
				return nil
			}}
		})
	})},
	{what: "frees a stranger's lease", by: "leases/taken-over", build: anybodys("release")},
	{what: "frees a stranger's lease unless a Renew has failed before", by: "leases/taken-over", build: func() func(b *broken) {
		var last sync.Map
		return func(b *broken) {
			b.leased(func(key string, l core.Lease) *brokenLease {
				last.Store(key, l)
				var lost atomic.Bool
				return &brokenLease{
					renew: func(ctx context.Context, ttl time.Duration) error {
						err := l.Renew(ctx, ttl)
						lost.Store(errors.Is(err, core.ErrLeaseLost))
						return err
					},
					release: func(ctx context.Context) error {
						err := l.Release(ctx)
						if now, _ := last.Load(key); errors.Is(err, core.ErrLeaseLost) && !lost.Load() {
							_ = now.(core.Lease).Release(ctx)
						}
						return err
					},
				}
			})
		}
	}},
	{what: "frees its successor's lease after its own", by: "leases/released", build: anybodys("release")},
	{what: "revives a lease that is lost", by: "leases/taken-over", build: anybodys("renew")},
	{what: "knows its handle, not its lease", by: "leases/taken-over-here", build: each(func(b *broken) {
		var mine sync.Map
		b.leased(func(key string, l core.Lease) *brokenLease {
			mine.Store(key, l)
			now := func() core.Lease { l, _ := mine.Load(key); return l.(core.Lease) }
			return &brokenLease{
				renew:   func(ctx context.Context, ttl time.Duration) error { return now().Renew(ctx, ttl) },
				release: func(ctx context.Context) error { return now().Release(ctx) },
			}
		})
	})},
	{what: "renews only once", by: "leases/renew", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			n := 0
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				if n++; n > 1 {
					return core.ErrLeaseLost
				}
				return l.Renew(ctx, ttl)
			}}
		})
	})},
	{what: "renews an expired lease", by: "leases/expired", build: each(func(b *broken) {
		b.leased(func(key string, l core.Lease) *brokenLease {
			held := l
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				err := held.Renew(ctx, ttl)
				if errors.Is(err, core.ErrLeaseLost) {
					if again, taken := b.Backend.Acquire(ctx, key, ttl); taken == nil {
						held = again
						return nil
					}
				}
				return err
			}}
		})
	})},
	{what: "never lets a lease expire", by: "leases/expiry", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, key, 24*time.Hour)
		}
	})},
	{what: "ends leases in the middle of their time", by: "leases/expiry", fixed: true, build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, key, ttl/2)
		}
	})},
	{what: "never lets a lease expire, and claims otherwise", by: "claims/lease-expires", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, key, 24*time.Hour)
		}
	})},
	{what: "takes every ttl for a short one", by: "leases/lasts", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, key, min(ttl, time.Second))
		}
	})},
	{what: "renews for the first ttl", by: "leases/renewed-lasts", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if err != nil {
				return nil, err
			}
			return &brokenLease{Lease: l, renew: func(ctx context.Context, _ time.Duration) error { return l.Renew(ctx, ttl) }}, nil
		}
	})},
	{what: "doesn't renew", by: "leases/renewed-lasts", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, renew: func(ctx context.Context, _ time.Duration) error { return nil }}
		})
	})},
	{what: "saves a record to hold a lease", by: "leases/no-record", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if err == nil {
				_, _ = b.Backend.Save(ctx, key, rec{Data: []byte("{}"), Version: core.Absent})
			}
			return l, err
		}
	})},
	{what: "counts a lease as a version", by: "leases/no-record", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if r, loaded := b.Backend.Load(ctx, key); err == nil && loaded == nil {
				_, _ = b.Backend.Save(ctx, key, r)
			}
			return l, err
		}
	})},
	{what: "locks the record with the lease", by: "leases/no-lock", build: each(func(b *broken) {
		var mine sync.Map
		b.leased(func(key string, l core.Lease) *brokenLease {
			mine.Store(key, true)
			return &brokenLease{Lease: l, release: func(ctx context.Context) error { mine.Delete(key); return l.Release(ctx) }}
		})
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if _, ok := mine.Load(key); !ok && core.ValidateKey(key) == nil && ctx.Err() == nil {
				l, err := b.Backend.Acquire(ctx, key, time.Minute)
				if err != nil {
					return "", err
				}
				defer func() { _ = l.Release(ctx) }()
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "ends the lease with the record", by: "leases/no-lock", build: func() func(b *broken) {
		var held sync.Map
		return func(b *broken) {
			b.leased(func(key string, l core.Lease) *brokenLease {
				held.Store(key, l)
				return &brokenLease{Lease: l}
			})
			b.delete = func(ctx ctx, key string) error {
				if l, ok := held.Load(key); ok {
					_ = l.(core.Lease).Release(ctx)
				}
				return b.Backend.Delete(ctx, key)
			}
		}
	}},
	{what: "lets two take over one lease", by: "leases/one-heir", build: func() func(b *broken) {
		type lease struct{ expires time.Time }
		var mu sync.Mutex
		leases := map[string]*lease{}
		return func(b *broken) {
			b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
				if _, err := b.Backend.Check(ctx, "reachable"); err != nil {
					return nil, err
				}
				mine := &lease{expires: time.Now().Add(ttl)}
				mu.Lock()
				held := leases[key]
				if held == nil {
					leases[key] = mine
				}
				mu.Unlock()
				if held != nil && time.Now().Before(held.expires) {
					return nil, core.ErrLeaseHeld
				}
				if held != nil { // stale: take over, without looking who else does
					time.Sleep(2 * time.Millisecond)
					mu.Lock()
					leases[key] = mine
					mu.Unlock()
				}
				return &brokenLease{
					renew: func(_ context.Context, ttl time.Duration) error { return nil },
					release: func(context.Context) error {
						mu.Lock()
						defer mu.Unlock()
						if leases[key] == mine {
							delete(leases, key)
						}
						return nil
					},
				}, nil
			}
		}
	}},
	{what: "lets a former holder save without a look at the version", by: "leases/fencing", build: each(func(b *broken) {
		var held sync.Map
		b.leased(func(key string, l core.Lease) *brokenLease {
			held.Store(key, true)
			return &brokenLease{Lease: l, release: func(ctx context.Context) error { held.Delete(key); return l.Release(ctx) }}
		})
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if _, ok := held.Load(key); ok {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "frees the lease when the context of its Acquire ends", by: "leases/detached", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = l.Release(context.Background()) })
			}
			return l, err
		}
	})},
	{what: "ends the record with the lease", by: "leases/no-expiry", build: func() func(b *broken) {
		var leases sync.Map
		return func(b *broken) {
			b.leased(func(key string, l core.Lease) *brokenLease {
				leases.Store(key, true)
				return &brokenLease{Lease: l, release: func(ctx context.Context) error {
					leases.Delete(key)
					return l.Release(ctx)
				}}
			})
			b.load = func(ctx ctx, key string) (rec, error) {
				if _, leased := leases.Load(key); leased {
					if l, err := b.Backend.Acquire(ctx, key, time.Minute); err == nil { // it ran out
						_ = l.Release(ctx)
						_ = b.Backend.Delete(ctx, key)
					}
				}
				return b.Backend.Load(ctx, key)
			}
		}
	}},
	{what: "has eight leases to give", by: "leases/many", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			if n := len(key); n > 1 && key[:n-1] == "key-" && key[n-1] >= '8' {
				return nil, core.ErrLeaseHeld
			}
			return b.Backend.Acquire(ctx, key, ttl)
		}
	})},

	// watch
	{what: "goes on waiting though the record had changed before", by: "watch/changed", build: each(func(b *broken) {
		b.wait = func(ctx ctx, key string, seen ver) error {
			r, err := b.Backend.Load(ctx, key)
			if err != nil {
				r.Version = core.Absent
			}
			return b.Backend.Wait(ctx, key, r.Version)
		}
	})},
	{what: "waits for a change though the lease is free", by: "watch/free", build: each(func(b *broken) {
		b.wait = func(ctx ctx, key string, seen ver) error {
			for {
				r, err := b.Backend.Load(ctx, key)
				if errors.Is(err, core.ErrNotFound) {
					r.Version, err = core.Absent, nil
				}
				if err != nil || r.Version != seen {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		}
	})},
	{what: "returns at once", by: "watch/waits", build: each(func(b *broken) {
		b.wait = func(ctx context.Context, key string, seen ver) error { return ctx.Err() }
	})},
	{what: "calls a deadline a change", by: "watch/waits", build: each(func(b *broken) {
		b.wait = func(ctx context.Context, key string, seen ver) error {
			_ = b.Backend.Wait(ctx, key, seen)
			return nil
		}
	})},
	{what: "is not woken by a save", by: "watch/save", build: each(func(b *broken) { b.wait = b.waitForLease })},
	{what: "is not woken by a delete", by: "watch/delete", build: each(func(b *broken) { b.wait = b.waitForLease })},
	{what: "is not woken by a release", by: "watch/release", build: each(func(b *broken) { b.wait = b.waitForChange })},
	{what: "is not woken by an expiry", by: "watch/expiry", build: each(func(b *broken) { b.wait = b.waitForChange })},
	{what: "is woken by any save", by: "watch/other-keys", build: func() func(b *broken) {
		var saves atomic.Int64
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				defer saves.Add(1)
				return b.Backend.Save(ctx, key, r)
			}
			b.wait = func(c ctx, key string, seen ver) error {
				before := saves.Load()
				c, cancel := context.WithCancel(c)
				defer cancel()
				go func() {
					for saves.Load() == before && c.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
				err := b.Backend.Wait(c, key, seen)
				if saves.Load() != before {
					return nil
				}
				return err
			}
		}
	}},

	// refresh
	{what: "leaves every refresh to its caller, and claims otherwise", by: "claims/coordinates", build: each(func(b *broken) {
		b.shouldRefresh = core.Uncoordinated{}.ShouldRefresh
	})},
	{what: "leaves every refresh to its caller", by: "refresh/here", build: each(func(b *broken) {
		b.shouldRefresh = core.Uncoordinated{}.ShouldRefresh
	})},
	{what: "says RefreshedHere, and did nothing", by: "refresh/here", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			return core.RefreshedHere, nil
		}
	})},
	{what: "runs Refresh twice", by: "refresh/here", build: coordinated(coordinator{twice: true})},
	{what: "runs Refresh without a lease", by: "refresh/here", build: coordinated(coordinator{noLease: true})},
	{what: "runs Refresh without a lease, many times at once", by: "refresh/once", build: coordinated(coordinator{noLease: true})},
	{what: "gives Refresh no record", by: "refresh/here", build: coordinated(coordinator{wrongRecord: true})},
	{what: "doesn't compare", by: "refresh/elsewhere", build: coordinated(coordinator{noCompareBefore: true, noCompareUnder: true})},
	{what: "compares before it waits for the lease, and not after", by: "refresh/once", build: coordinated(coordinator{comparesFirst: true, noCompareUnder: true})},
	{what: "runs quick refreshes beside each other", by: "refresh/once-quick", build: coordinated(coordinator{noLease: true})},
	{what: "keeps the lease of a question", by: "refresh/question", build: coordinated(coordinator{keepsOnQuestion: true})},
	{what: "takes AnyVersion for a version", by: "refresh/any", build: coordinated(coordinator{anyIsNoVersion: true})},
	{what: "takes Absent for no version", by: "refresh/absent", build: coordinated(coordinator{absentIsEmpty: true})},
	{what: "passes ErrNotNeeded on", by: "refresh/not-needed", build: coordinated(coordinator{notNeededFails: true})},
	{what: "swallows Refresh's error", by: "refresh/failure", build: coordinated(coordinator{swallows: true})},
	{what: "runs Refresh again after a conflict", by: "refresh/failure", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			d, err := core.Coordinate(ctx, b, b, key, req)
			if errors.Is(err, core.ErrConflict) {
				return core.Coordinate(ctx, b, b, key, req)
			}
			return d, err
		}
	})},
	{what: "takes a panic for a success", by: "refresh/panic", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (d core.RefreshDecision, err error) {
			defer func() {
				if recover() != nil {
					d, err = core.RefreshedHere, nil
				}
			}()
			return core.Coordinate(ctx, b, b, key, req)
		}
	})},
	{what: "gives Refresh the record it had before it waited", by: "refresh/current", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			before, err := b.Backend.Load(ctx, key)
			if refresh := req.Refresh; refresh != nil && err == nil {
				req.Refresh = func(ctx context.Context, _ rec) error { return refresh(ctx, before) }
			}
			return core.Coordinate(ctx, b, b, key, req)
		}
	})},
	{what: "takes a lease of an hour whatever LeaseTTL says", by: "refresh/lease-ttl", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			req.LeaseTTL = time.Hour
			return core.Coordinate(ctx, b, b, key, req)
		}
	})},
	{what: "has a default shorter than the provider's time-out", by: "refresh/default-ttl", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			if req.LeaseTTL == 0 {
				req.LeaseTTL = 10 * time.Second
			}
			return core.Coordinate(ctx, b, b, key, req)
		}
	})},
	{what: "leaks the lease of a refresh that failed", by: "refresh/failure", build: coordinated(coordinator{keepsOnError: true})},
	{what: "keeps waiters waiting when a refresh fails", by: "refresh/waiter-takes-over", build: coordinated(coordinator{keepsOnError: true})},
	{what: "leaks the lease of a refresh that panicked", by: "refresh/panic", build: coordinated(coordinator{keepsOnPanic: true})},
	{what: "cancels a refresh with its caller", by: "refresh/detached", build: coordinated(coordinator{attached: true})},
	{what: "takes no ttl for none", by: "refresh/default-ttl", build: coordinated(coordinator{ttl: 1})},
	{what: "has waiters wait for the lease, not for the token", by: "refresh/waiters", build: coordinated(coordinator{waitsForLeaseOnly: true})},
	{what: "refreshes one key at a time", by: "refresh/keys-apart", build: func() func(b *broken) {
		turn := make(chan struct{}, 1)
		return func(b *broken) {
			b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
				select {
				case turn <- struct{}{}:
					defer func() { <-turn }()
					return core.Coordinate(ctx, b, b, key, req)
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
		}
	}},
	{what: "coordinates within the handle only", by: "refresh/once", build: each(func(b *broken) {
		var local backend.LocalLeases
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			return core.Coordinate(ctx, b, &local, key, req)
		}
	})},
	{what: "coordinates beside its own leases", by: "refresh/lease-held", build: func() func(b *broken) {
		var local backend.LocalLeases
		return func(b *broken) {
			b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
				return core.Coordinate(ctx, b, &local, key, req)
			}
		}
	}},
	{what: "refreshes a version again that it refreshed", by: "refresh/again", build: func() func(b *broken) {
		var seen sync.Map
		return func(b *broken) {
			b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
				if n, again := seen.LoadOrStore(key+string(req.Seen), new(atomic.Int32)); again && n.(*atomic.Int32).Add(1) == 1 {
					req.Seen = core.AnyVersion
				}
				return core.Coordinate(ctx, b, b, key, req)
			}
		}
	}},
	{what: "waits for a vanished holder for ever", by: "refresh/vanished", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, key, 24*time.Hour)
		}
	})},

	{what: "doesn't renew the lease while it refreshes", by: "refresh/renewed", build: coordinated(coordinator{})},
	{what: "takes the caller's refresh for done", by: "refresh/uncoordinated", want: func(w *Capabilities) { w.Coordinates = false }, build: each(func(b *broken) {
		b.shouldRefresh = func(context.Context, string, core.RefreshRequest) (core.RefreshDecision, error) {
			return core.RefreshedElsewhere, nil
		}
	})},

	// list
	{what: "calls an empty store an error", by: "list/empty", build: listing(func(keys []string) ([]string, error) {
		if len(keys) == 0 {
			return nil, core.ErrNotFound
		}
		return keys, nil
	})},
	{what: "lists the first page only", by: "list/exact", build: listing(func(keys []string) ([]string, error) { return keys[:min(20, len(keys))], nil })},
	{what: "lists keys twice", by: "list/exact", build: listing(func(keys []string) ([]string, error) { return append(keys, keys...), nil })},
	{what: "lists the store's own names", by: "list/as-saved", build: listing(func(keys []string) ([]string, error) {
		for i := range keys {
			keys[i] = url.PathEscape(keys[i])
		}
		return keys, nil
	})},
	{what: "lists what is deleted", by: "list/deleted", build: func() func(b *broken) {
		var mu sync.Mutex
		var saved []string
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				mu.Lock()
				defer mu.Unlock()
				if !slices.Contains(saved, key) {
					saved = append(saved, key)
				}
				return b.Backend.Save(ctx, key, r)
			}
			b.keys = func(context.Context) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					mu.Lock()
					defer mu.Unlock()
					for _, key := range saved {
						if !yield(key, nil) {
							return
						}
					}
				}
			}
		}
	}},
	{what: "lists leases", by: "list/records-only", build: func() func(b *broken) {
		var leased sync.Map
		return func(b *broken) {
			b.leased(func(key string, l core.Lease) *brokenLease {
				leased.Store(key+".lock", true)
				return &brokenLease{Lease: l}
			})
			b.keys = func(ctx ctx) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					for key, err := range b.Backend.Keys(ctx) {
						if !yield(key, err) {
							return
						}
					}
					for key := range leased.Range {
						if !yield(key.(string), nil) {
							return
						}
					}
				}
			}
		}
	}},
	{what: "goes on listing when nobody listens", by: "list/stop", build: each(func(b *broken) {
		b.keys = func(ctx ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for key, err := range b.Backend.Keys(ctx) {
					yield(key, err)
				}
			}
		}
	})},
	{what: "locks the store while it lists", by: "list/stop", build: func() func(b *broken) {
		var mu sync.Mutex
		return func(b *broken) {
			b.load = func(ctx ctx, key string) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				return b.Backend.Load(ctx, key)
			}
			b.keys = func(ctx ctx) iter.Seq2[string, error] {
				return func(yield func(string, error) bool) {
					mu.Lock()
					defer mu.Unlock()
					b.Backend.Keys(ctx)(yield)
				}
			}
		}
	}},
	{what: "lists once at a time", by: "list/stop", build: each(func(b *broken) {
		var mu sync.Mutex
		b.keys = func(ctx ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				b.Backend.Keys(ctx)(yield)
			}
		}
	})},
	{what: "lists nothing when cancelled", by: "list/cancelled", build: each(func(b *broken) {
		b.keys = func(ctx ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for key, err := range b.Backend.Keys(ctx) {
					if err != nil || !yield(key, nil) {
						return
					}
				}
			}
		}
	})},

	// outage
	{what: "answers false in an outage", by: "outage/error", build: each(func(b *broken) {
		b.check = func(ctx ctx, key string) (bool, error) {
			ok, err := b.Backend.Check(ctx, key)
			if errors.Is(err, reference.ErrOutage) {
				err = nil
			}
			return ok, err
		}
	})},
	{what: "answers absent in an outage", by: "outage/error", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, reference.ErrOutage) {
				err = core.ErrNotFound
			}
			return r, err
		}
	})},
	{what: "serves what it read before in an outage", by: "outage/error", build: each(func(b *broken) {
		var read sync.Map
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if was, ok := read.Load(key); ok && errors.Is(err, reference.ErrOutage) {
				return was.(rec), nil
			}
			if err == nil {
				read.Store(key, r)
			}
			return r, err
		}
	})},
	{what: "calls an outage read-only", by: "outage/error", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, reference.ErrOutage) {
				err = core.ErrReadOnly
			}
			return v, err
		}
	})},
	{what: "calls an outage a conflict", by: "outage/error", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, reference.ErrOutage) {
				err = fmt.Errorf("%w: %w", core.ErrConflict, err)
			}
			return v, err
		}
	})},
	{what: "reports success for a save in an outage", by: "outage/error", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, reference.ErrOutage) {
				return "v0", nil
			}
			return v, err
		}
	})},
	{what: "serves from memory in an outage", by: "outage/error", build: each(func(b *broken) {
		var last sync.Map
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if err == nil {
				last.Store(key, r)
			} else if was, ok := last.Load(key); ok && errors.Is(err, reference.ErrOutage) {
				return was.(rec), nil
			}
			return r, err
		}
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if err == nil {
				_, _ = b.load(ctx, key)
			}
			return v, err
		}
	})},
	{what: "is broken for good after an outage", by: "outage/recovery", build: each(func(b *broken) {
		var gone atomic.Bool
		b.load = func(ctx ctx, key string) (rec, error) {
			if gone.Load() {
				return rec{}, reference.ErrOutage
			}
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, reference.ErrOutage) {
				gone.Store(true)
			}
			return r, err
		}
	})},
	{what: "deletes later what it couldn't delete in an outage", by: "outage/recovery", build: each(func(b *broken) {
		var pending sync.Map
		b.delete = func(ctx ctx, key string) error {
			err := b.Backend.Delete(ctx, key)
			if errors.Is(err, reference.ErrOutage) {
				pending.Store(key, true)
			}
			return err
		}
		b.load = func(ctx ctx, key string) (rec, error) {
			if _, ok := pending.Load(key); ok && b.Backend.Delete(ctx, key) == nil {
				pending.Delete(key)
			}
			return b.Backend.Load(ctx, key)
		}
	})},
	{what: "takes the second failure for absence", by: "outage/blip", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, reference.ErrOutage) {
				if r, err = b.Backend.Load(ctx, key); errors.Is(err, reference.ErrOutage) && key == "absent" {
					return rec{}, nil
				}
			}
			return r, err
		}
	})},
	{what: "leaves the refresh to its caller in an outage", by: "outage/refresh", build: each(func(b *broken) {
		b.shouldRefresh = func(ctx ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			d, err := core.Coordinate(ctx, b, b, key, req)
			if errors.Is(err, reference.ErrOutage) {
				return core.RefreshNow, nil
			}
			return d, err
		}
	})},
	{what: "says saved when the refresh couldn't save", by: "outage/refresh-unsaved", build: coordinated(coordinator{swallows: true})},
	{what: "calls an outage a lease that is held", by: "outage/lease", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if errors.Is(err, reference.ErrOutage) {
				err = core.ErrLeaseHeld
			}
			return l, err
		}
	})},
	{what: "calls an outage a lost lease", by: "outage/lease", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				if err := l.Renew(ctx, ttl); err != nil {
					return core.ErrLeaseLost
				}
				return nil
			}}
		})
	})},
	{what: "says that it renewed in an outage", by: "outage/lease", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				if err := l.Renew(ctx, ttl); !errors.Is(err, reference.ErrOutage) {
					return err
				}
				return nil
			}}
		})
	})},
	{what: "says that it released in an outage", by: "outage/lease", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, release: func(ctx context.Context) error {
				if err := l.Release(ctx); !errors.Is(err, reference.ErrOutage) {
					return err
				}
				return nil
			}}
		})
	})},
	{what: "wakes waiters in an outage", by: "outage/wait", build: each(func(b *broken) {
		b.wait = func(ctx ctx, key string, seen ver) error {
			err := b.Backend.Wait(ctx, key, seen)
			if errors.Is(err, reference.ErrOutage) {
				err = nil
			}
			return err
		}
	})},
	{what: "lists nothing in an outage", by: "outage/list", build: each(func(b *broken) {
		b.keys = func(ctx ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for key, err := range b.Backend.Keys(ctx) {
					if errors.Is(err, reference.ErrOutage) || !yield(key, err) {
						return
					}
				}
			}
		}
	})},
	{what: "can be reached in an outage, says Ping", by: "outage/ping", build: each(func(b *broken) {
		b.ping = func(context.Context) error { return nil }
	})},
	{what: "calls a damaged record absent", by: "outage/corrupt", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, core.ErrCorrupt) {
				err = core.ErrNotFound
			}
			return r, err
		}
	})},
	{what: "returns a damaged record as if it were one", by: "outage/corrupt", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, core.ErrCorrupt) {
				err = nil
			}
			return r, err
		}
	})},
	{what: "can't save over a damaged record", by: "outage/corrupt", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if _, err := b.Backend.Load(ctx, key); errors.Is(err, core.ErrCorrupt) {
				return "", err
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},

	// store
	{what: "adds a line end to what it stores", by: "store/encrypted", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			if len(data) == 0 {
				return data
			}
			return append(bytes.Clone(data), '\n')
		})
	})},
	{what: "encodes what it stores", by: "store/plain", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(data)) })
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			r.Data, _ = base64.StdEncoding.DecodeString(string(r.Data))
			return r, err
		}
	})},
	{what: "normalizes JSON, and drops what it doesn't know", by: "store/unknown-fields", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			var known struct {
				AccessToken, RefreshToken, IdToken, Account, AppMetadata map[string]any
			}
			if json.Unmarshal(data, &known) != nil {
				return data
			}
			data, _ = json.Marshal(known)
			return data
		})
	})},
	{what: "makes a legacy token an empty cache", by: "store/legacy", build: each(func(b *broken) {
		b.altered(func(data []byte) []byte {
			if bytes.Contains(data, []byte("access_token")) {
				return []byte("{}")
			}
			return data
		})
	})},
	{what: "takes a plain record for none", by: "store/plain-refused", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if err == nil && json.Valid(r.Data) {
				return rec{}, core.ErrNotFound
			}
			return r, err
		}
	})},
	{what: "doesn't save what it has under another key", by: "store/swapped", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			for other := range b.Backend.Keys(ctx) {
				if same, err := b.Backend.Load(ctx, other); err == nil && bytes.Equal(same.Data, r.Data) {
					return same.Version, nil
				}
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "answers {} for a damaged record", by: "store/damaged", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, core.ErrCorrupt) {
				r = rec{Data: []byte("{}"), Version: "damaged"}
				err = nil
			}
			return r, err
		}
	})},
	{what: "loses one user's sign-in to another's", by: "store/updates", build: each(func(b *broken) { b.save = b.ignoreVersions })},
	{what: "has every process refresh for itself", by: "store/refresh-once", build: coordinated(coordinator{noLease: true, noCompareUnder: true})},
	{what: "quotes what a stale Save would have stored", by: "store/redaction", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, core.ErrConflict) || errors.Is(err, reference.ErrOutage) {
				err = fmt.Errorf("%w: refused %q", err, []byte(r.Data))
			}
			return v, err
		}
	})},

	// redaction
	{what: "prints the data it couldn't save", by: "redaction/errors", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if err != nil {
				err = fmt.Errorf("saving %s: %w", []byte(r.Data), err)
			}
			return v, err
		}
	})},
	{what: "prints the record it couldn't save, as bytes", by: "redaction/errors", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if err != nil {
				err = fmt.Errorf("saving %v: %w", []byte(r.Data), err)
			}
			return v, err
		}
	})},
	{what: "prints the secret when it is printed", by: "redaction/handles", build: each(func(b *broken) {
		var last atomic.Value
		b.print = func() string { return fmt.Sprintf("a backend that last saved %s", last.Load()) }
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			last.Store(bytes.Clone(r.Data))
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "logs what it saves with slog", by: "redaction/logs", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			slog.Debug("saving", "key", key, "data", string(r.Data))
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "logs what it saves with log", by: "redaction/logs", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			log.Printf("saving %q: %+v", key, []byte(r.Data))
			return b.Backend.Save(ctx, key, r)
		}
	})},

	// claims
	{what: "compares versions, and doesn't say so", by: "claims/cas", want: func(w *Capabilities) { w.CAS = CASNone }},
	{what: "coordinates, and doesn't say so", by: "claims/coordinates", want: func(w *Capabilities) { w.Coordinates = false }},
	{what: "leases, and doesn't say so", by: "claims/lease", want: func(w *Capabilities) { w.Lease, w.LeaseExpires = false, false }},
	{what: "lets leases expire, and doesn't say so", by: "claims/lease-expires", want: func(w *Capabilities) { w.LeaseExpires = false }},
	{what: "watches, and doesn't say so", by: "claims/watch", want: func(w *Capabilities) { w.Watch = false }},
	{what: "lists, and doesn't say so", by: "claims/list", want: func(w *Capabilities) { w.List = false }},
	{what: "pings, and doesn't say so", by: "claims/ping", want: func(w *Capabilities) { w.Ping = false }},
	{what: "has a limit, and doesn't say so", by: "claims/max-size", size: 2 << 20},
	{what: "has no limit, and says so", by: "claims/max-size", want: func(w *Capabilities) { w.MaxSize = 2 << 20 }},
	{what: "can't be reached", by: "claims/ping", build: each(func(b *broken) {
		b.ping = func(context.Context) error { return io.ErrUnexpectedEOF }
	})},
	{what: "uses less than nothing", by: "claims/space", build: each(func(b *broken) { b.used = -1 })},
	{what: "has one place for all stores", by: "claims/place", build: each(func(b *broken) { b.place = "mystore" })},
	{what: "claims expiring leases and no leases", by: "claims/consistent", want: func(w *Capabilities) { w.Lease = false }},

	// versions: the zero Version
	{what: "takes the zero Version for an overwrite", by: "versions/zero", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == "" {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "takes no version for a conflict", by: "versions/zero", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == "" && core.ValidateKey(key) == nil && len(r.Data) > 0 {
				return "", core.ErrConflict
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "takes a Save of what is stored, without a version, for a success", by: "versions/zero", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if was, err := b.Backend.Load(ctx, key); err == nil && r.Version == "" && bytes.Equal(was.Data, r.Data) {
				return was.Version, nil
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},

	// context: what ends in the middle
	{what: "keeps the lease of an Acquire that was cancelled before its answer came", by: "context/abandoned-acquire", build: each(func(b *broken) { b.acquire = b.abandoning })},
	{what: "asks for the context once more when it has the lease", by: "context/abandoned-acquire", build: each(func(b *broken) {
		b.acquire = func(c ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(c, key, ttl)
			if c.Err() != nil {
				return nil, c.Err()
			}
			return l, err
		}
	})},
	{what: "keeps the lease of a ShouldRefresh that was cancelled", by: "context/abandoned-refresh", build: each(func(b *broken) {
		b.shouldRefresh = func(c ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			if err := core.ValidateKey(key); err != nil {
				return 0, err
			}
			l, err := b.Backend.Acquire(c, key, cmp.Or(req.LeaseTTL, core.DefaultLeaseTTL))
			if err == nil && c.Err() != nil {
				return 0, c.Err()
			}
			if err == nil {
				_ = l.Release(context.WithoutCancel(c))
			}
			return core.Coordinate(c, b, b, key, req)
		}
	})},
	{what: "leaves a goroutine for each ErrLeaseHeld", by: "context/goroutines-refused", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if errors.Is(err, core.ErrLeaseHeld) {
				go func() { time.Sleep(5 * time.Second) }()
			}
			return l, err
		}
	})},
	{what: "leaves a goroutine for each conflict", by: "context/goroutines-refused", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, core.ErrConflict) {
				go func() { time.Sleep(5 * time.Second) }()
			}
			return v, err
		}
	})},
	{what: "leaves a goroutine for each wait that is given up", by: "context/goroutines-refused", build: each(func(b *broken) {
		b.wait = func(c ctx, key string, seen ver) error {
			answer := make(chan error, 1)
			go func() {
				bounded, cancel := context.WithTimeout(context.WithoutCancel(c), 5*time.Second)
				defer cancel()
				answer <- b.Backend.Wait(bounded, key, seen)
			}()
			select {
			case err := <-answer:
				return err
			case <-c.Done():
				return c.Err()
			}
		}
	})},

	// refresh: values
	{what: "refreshes under a context of its own", by: "refresh/values", build: each(func(b *broken) {
		b.shouldRefresh = func(c ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			if run := req.Refresh; run != nil {
				req.Refresh = func(_ context.Context, current rec) error { return run(context.Background(), current) }
			}
			return core.Coordinate(c, b, b, key, req)
		}
	})},

	// watch: who saves, and what is no change
	{what: "is woken by saves that overwrite, alone", by: "watch/save-version", build: func() func(b *broken) {
		var quiet sync.Map // versions that nobody is told of
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil && r.Version != core.AnyVersion {
					quiet.Store(v, true)
				}
				return v, err
			}
			b.wait = func(c ctx, key string, seen ver) error {
				for {
					if err := b.Backend.Wait(c, key, seen); err != nil {
						return err
					}
					now, err := b.Backend.Load(c, key)
					if _, untold := quiet.Load(now.Version); err != nil || !untold || now.Version == seen {
						return nil
					}
					time.Sleep(time.Millisecond)
				}
			}
		}
	}},
	{what: "is woken by a save that is refused", by: "watch/save-version", build: wokenBy(func(b *broken, wake func()) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, core.ErrConflict) {
				wake()
			}
			return v, err
		}
	})},
	{what: "is woken by a renewal", by: "watch/renew", build: wokenBy(func(b *broken, wake func()) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				defer wake()
				return l.Renew(ctx, ttl)
			}}
		})
	})},
	{what: "is woken by another's vain Acquire", by: "watch/renew", build: wokenBy(func(b *broken, wake func()) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if errors.Is(err, core.ErrLeaseHeld) {
				wake()
			}
			return l, err
		}
	})},

	// leases: long ones
	{what: "gives leases of ten minutes at most", by: "leases/long", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			return b.Backend.Acquire(ctx, key, min(ttl, 10*time.Minute))
		}
	})},
	{what: "renews for half an hour at most", by: "leases/long", build: each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				return l.Renew(ctx, min(ttl, 30*time.Minute))
			}}
		})
	})},

	// keys: long ones
	{what: "takes the first 128 bytes of a key for a lease's name", by: "keys/long-everywhere", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			if core.ValidateKey(key) == nil {
				key = strings.ToValidUTF8(key[:min(len(key), 128)], "")
			}
			return b.Backend.Acquire(ctx, key, ttl)
		}
	})},
	{what: "waits for the lease of the first 128 bytes of a key", by: "keys/long-everywhere", build: each(func(b *broken) {
		b.wait = func(ctx ctx, key string, seen ver) error { return b.Backend.Wait(ctx, key[:min(len(key), 128)], seen) }
	})},
	{what: "can't replace under a long key", by: "keys/long-everywhere", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(key) == core.MaxKeyLen && r.Version != core.Absent && r.Version != core.AnyVersion {
				return "", core.ErrConflict
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},

	// large
	{what: "leaves what a longer record had in its second chunk", by: "large/overwrite", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			const chunk = 64 << 10
			if was, err := b.Backend.Load(ctx, key); err == nil && len(was.Data) > chunk && len(r.Data) == chunk/2 {
				r.Data = append(bytes.Clone(r.Data), was.Data[chunk:]...)
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "lists each chunk of a large record", by: "large/overwrite", build: each(func(b *broken) {
		b.keys = func(ctx ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for key, err := range b.Backend.Keys(ctx) {
					r, _ := b.Backend.Load(ctx, cmp.Or(key, "-"))
					for range len(r.Data)/(64<<10) + 1 {
						if !yield(key, err) {
							return
						}
					}
				}
			}
		}
	})},
	{what: "doesn't delete what is large", by: "large/overwrite", build: each(func(b *broken) {
		b.delete = func(ctx ctx, key string) error {
			if b.holds(ctx, key, 8<<10) {
				return nil
			}
			return b.Backend.Delete(ctx, key)
		}
	})},
	{what: "doesn't find what is large when it checks", by: "large/overwrite", build: each(func(b *broken) {
		b.check = func(ctx ctx, key string) (bool, error) {
			ok, err := b.Backend.Check(ctx, key)
			return ok && !b.holds(ctx, key, 1<<19), err
		}
	})},
	{what: "doesn't compare versions above 8 KiB", by: "large/versions", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(r.Data) > 8<<10 {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "doesn't compare versions where more than 64 KiB are stored", by: "large/versions", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(r.Data) > 0 && b.holds(ctx, key, 64<<10) {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "makes versions of the first 8 KiB", by: "large/versions", build: digesting(func(data []byte) ver { return ver(digest(data[:min(len(data), 8<<10)])) })},
	{what: "takes no version for an overwrite above 8 KiB", by: "large/versions", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(r.Data) > 8<<10 && r.Version == "" {
				r.Version = core.AnyVersion
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "hands its memory out above 8 KiB", by: "large/slices", build: func() func(b *broken) {
		share := aliasing()
		return func(b *broken) {
			share(b)
			shared := b.load
			b.load = func(ctx ctx, key string) (rec, error) {
				if b.holds(ctx, key, 8<<10) {
					return shared(ctx, key)
				}
				return b.Backend.Load(ctx, key)
			}
		}
	}},
	{what: "retains the slice it saves above 8 KiB", by: "large/slices", build: func() func(b *broken) {
		var saved sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil && len(r.Data) > 8<<10 {
					saved.Store(v, r.Data)
				}
				return v, err
			}
			b.load = func(ctx ctx, key string) (rec, error) {
				r, err := b.Backend.Load(ctx, key)
				if data, ok := saved.Load(r.Version); ok && err == nil {
					r.Data = bytes.Clone(data.(core.Data))
				}
				return r, err
			}
		}
	}},
	{what: "gives Refresh the head of a large record", by: "large/refresh", build: each(func(b *broken) {
		b.shouldRefresh = func(c ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			if run := req.Refresh; run != nil {
				req.Refresh = func(ctx context.Context, current rec) error {
					current.Data = current.Data[:min(len(current.Data), 64<<10)]
					return run(ctx, current)
				}
			}
			return core.Coordinate(c, b, b, key, req)
		}
	})},
	{what: "refreshes large records without a look at Seen", by: "large/refresh", build: each(func(b *broken) {
		b.shouldRefresh = func(c ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
			if b.holds(c, key, 8<<10) {
				req.Seen = core.AnyVersion
			}
			return core.Coordinate(c, b, b, key, req)
		}
	})},
	{what: "writes a large record anew to lease it", by: "large/leases", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			l, err := b.Backend.Acquire(ctx, key, ttl)
			if err == nil && b.holds(ctx, key, 8<<10) {
				r, _ := b.Backend.Load(ctx, key)
				_, _ = b.Backend.Save(ctx, key, r)
			}
			return l, err
		}
	})},
	{what: "wakes nobody for a large record", by: "large/watch", build: each(func(b *broken) {
		b.wait = func(c ctx, key string, seen ver) error {
			for {
				if err := b.Backend.Wait(c, key, seen); err != nil || !b.holds(c, key, 8<<10) {
					return err
				}
				time.Sleep(time.Millisecond)
			}
		}
	})},
	{what: "swallows the outage that meets a large Save", by: "large/refused", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, reference.ErrOutage) && len(r.Data) > 64<<10 {
				return "accepted", nil
			}
			return v, err
		}
	})},
	{what: "saves what is large though it is cancelled", by: "large/refused", build: each(func(b *broken) {
		b.save = func(c ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(c, key, r)
			if errors.Is(err, context.Canceled) && len(r.Data) > 8<<10 {
				_, _ = b.Backend.Save(context.WithoutCancel(c), key, r)
			}
			return v, err
		}
	})},
	{what: "calls a damaged large record absent", by: "large/damaged", build: func() func(b *broken) {
		var sizes sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				sizes.Store(key, len(r.Data))
				return b.Backend.Save(ctx, key, r)
			}
			b.load = func(ctx ctx, key string) (rec, error) {
				r, err := b.Backend.Load(ctx, key)
				if size, _ := sizes.Load(key); errors.Is(err, core.ErrCorrupt) && size.(int) > 8<<10 {
					err = core.ErrNotFound
				}
				return r, err
			}
		}
	}},
	{what: "writes more than 64 KiB in two steps", by: "large/whole", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if r.Version == core.AnyVersion && len(r.Data) > 64<<10 {
				if _, err := b.Backend.Save(ctx, key, rec{Data: r.Data[:64<<10], Version: core.AnyVersion}); err != nil {
					return "", err
				}
				runtime.Gosched()
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "reads the data of a large record, and then its version", by: "large/read-concurrent", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if err == nil && len(r.Data) > 8<<10 {
				runtime.Gosched()
				if now, loaded := b.Backend.Load(ctx, key); loaded == nil {
					r.Version = now.Version
				}
			}
			return r, err
		}
	})},
	{what: "looks first and replaces then what is large", by: "large/concurrent", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if len(r.Data) > 8<<10 {
				return b.twoSteps(ctx, key, r)
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "quotes what is large when it can't save it", by: "large/errors", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if err != nil && len(r.Data) > 8<<10 {
				err = fmt.Errorf("%w: the request was %s", err, []byte(r.Data[:1000]))
			}
			return v, err
		}
	})},
	{what: "refuses too large data only when it overwrites", by: "payload/max-size", size: 1000, build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			v, err := b.Backend.Save(ctx, key, r)
			if errors.Is(err, core.ErrTooLarge) && r.Version != core.AnyVersion {
				err = core.ErrConflict
			}
			return v, err
		}
	}), want: func(w *Capabilities) { w.MaxSize = 1000 }},

	// many
	{what: "holds 256 records, and drops the oldest", by: "many/records", build: func() func(b *broken) {
		var mu sync.Mutex
		var order []string
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && !slices.Contains(order, key) {
					if order = append(order, key); len(order) > 256 {
						_ = b.Backend.Delete(ctx, order[0])
						order = order[1:]
					}
				}
				return v, err
			}
		}
	}},
	{what: "finds the first 1,000 records only when it checks", by: "many/records", build: func() func(b *broken) {
		var mu sync.Mutex
		known := map[string]int{}
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				mu.Lock()
				defer mu.Unlock()
				if _, ok := known[key]; err == nil && !ok {
					known[key] = len(known)
				}
				return v, err
			}
			b.check = func(ctx ctx, key string) (bool, error) {
				ok, err := b.Backend.Check(ctx, key)
				mu.Lock()
				defer mu.Unlock()
				return ok && known[key] < 1000, err
			}
		}
	}},
	{what: "deletes 100 records, and then none", by: "many/records", build: each(func(b *broken) {
		var deleted atomic.Int32
		b.delete = func(ctx ctx, key string) error {
			if deleted.Add(1) > 100 {
				return nil
			}
			return b.Backend.Delete(ctx, key)
		}
	})},
	{what: "lists the first page of 100", by: "many/keys-100", build: listing(func(keys []string) ([]string, error) { return keys[:min(len(keys), 100)], nil })},
	{what: "lists the first two pages of 100", by: "many/keys-100", build: listing(func(keys []string) ([]string, error) { return keys[:min(len(keys), 200)], nil })},
	{what: "asks for a page after a last one that was full", by: "many/keys-100", build: listing(func(keys []string) ([]string, error) {
		if len(keys) == 100 {
			return nil, errors.New("no such page")
		}
		return keys, nil
	})},
	{what: "lists the last key of a page of 100 again on the next one", by: "many/keys-100", build: listing(func(keys []string) ([]string, error) {
		if len(keys) > 100 {
			keys = slices.Insert(keys, 100, keys[99])
		}
		return keys, nil
	})},
	{what: "lists the first page of 1,000", by: "many/keys-1000", build: listing(func(keys []string) ([]string, error) { return keys[:min(len(keys), 1000)], nil })},
	{what: "lists nothing where 1,000 records fill a page", by: "many/keys-1000", build: listing(func(keys []string) ([]string, error) {
		if len(keys) == 1000 {
			keys = nil
		}
		return keys, nil
	})},
	{what: "lists the first two pages of 1,000", by: "many/keys-1000", build: listing(func(keys []string) ([]string, error) { return keys[:min(len(keys), 2000)], nil })},
	{what: "stops at the end of a page when its context has ended, and doesn't say so", by: "many/keys-interrupted", build: each(func(b *broken) {
		b.keys = func(c ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				n := 0
				for key, err := range b.Backend.Keys(c) {
					if n++; n%100 == 0 && c.Err() != nil {
						return
					}
					if !yield(key, err) {
						return
					}
				}
			}
		}
	})},
	{what: "has a hundred leases to give", by: "many/leases", build: func() func(b *broken) {
		var given atomic.Int32
		return func(b *broken) {
			b.leased(func(_ string, l core.Lease) *brokenLease {
				given.Add(1)
				return &brokenLease{Lease: l, release: func(ctx context.Context) error { given.Add(-1); return l.Release(ctx) }}
			})
			limited := b.acquire
			b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
				if given.Load() >= 100 {
					return nil, core.ErrLeaseHeld
				}
				return limited(ctx, key, ttl)
			}
		}
	}},
	{what: "keeps leases in 128 slots, by the key's hash", by: "many/leases", build: each(func(b *broken) {
		b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
			if core.ValidateKey(key) == nil {
				h := fnv.New32a()
				_, _ = io.WriteString(h, key)
				key = fmt.Sprint("slot-", h.Sum32()%128)
			}
			return b.Backend.Acquire(ctx, key, ttl)
		}
	})},
	{what: "renews ten times at most", by: "many/renewals", build: renewing(10)},
	{what: "renews a hundred times at most", by: "many/renewals", build: renewing(100)},
	{what: "leases one key ten times at most", by: "many/acquires", build: acquiring(10)},
	{what: "leases one key a hundred times at most", by: "many/acquires", build: acquiring(100)},
	{what: "counts versions in one byte", by: "many/versions", build: func() func(b *broken) {
		var mu sync.Mutex
		count := 0
		numbers := map[ver]ver{}
		return func(b *broken) {
			b.load = func(ctx ctx, key string) (rec, error) {
				mu.Lock()
				defer mu.Unlock()
				r, err := b.Backend.Load(ctx, key)
				r.Version = numbers[r.Version]
				return r, err
			}
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				mu.Lock()
				defer mu.Unlock()
				if was, err := b.Backend.Load(ctx, key); err == nil && numbers[was.Version] == r.Version {
					r.Version = was.Version
				}
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil {
					count++
					numbers[v] = ver(fmt.Sprint("n", count%256))
				}
				return numbers[v], err
			}
		}
	}},
	{what: "has a hundred versions of a record", by: "many/versions", build: func() func(b *broken) {
		var saves sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				n, _ := saves.LoadOrStore(key, new(atomic.Int32))
				if n.(*atomic.Int32).Add(1) > 100 {
					return "", errors.New("too many versions")
				}
				return b.Backend.Save(ctx, key, r)
			}
		}
	}},
	{what: "refreshes eight keys at one time, and no more", by: "many/refreshes", build: func() func(b *broken) {
		places := make(chan struct{}, 8)
		return func(b *broken) {
			b.shouldRefresh = func(c ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
				select {
				case places <- struct{}{}:
				case <-c.Done():
					return 0, c.Err()
				}
				defer func() { <-places }()
				return core.Coordinate(c, b, b, key, req)
			}
		}
	}},
	{what: "wakes 64 waiters", by: "many/waiters", build: func() func(b *broken) {
		var waiters atomic.Int32
		return func(b *broken) {
			b.wait = func(c ctx, key string, seen ver) error {
				if waiters.Add(1) > 64 {
					<-c.Done()
					return c.Err()
				}
				defer waiters.Add(-1)
				return b.Backend.Wait(c, key, seen)
			}
		}
	}},
	{what: "wakes a waiter three times", by: "many/waits", build: each(func(b *broken) {
		var waits atomic.Int32
		b.wait = func(c ctx, key string, seen ver) error {
			if waits.Add(1) > 3 {
				<-c.Done()
				return c.Err()
			}
			return b.Backend.Wait(c, key, seen)
		}
	})},
	{what: "keeps the leases of its third and later handles to itself", by: "many/handles", build: func() func(b *broken) {
		handles := 0
		return func(b *broken) {
			if handles++; handles > 2 {
				b.acquire = new(backend.LocalLeases).Acquire
			}
		}
	}},
	{what: "doesn't compare versions through its tenth handle", by: "many/handles", build: func() func(b *broken) {
		handles := 0
		return func(b *broken) {
			if handles++; handles == 10 {
				b.save = b.ignoreVersions
			}
		}
	}},
	{what: "serves 32 callers at one time, and answers the others absent", by: "many/callers", build: each(func(b *broken) {
		var callers atomic.Int32
		b.load = func(ctx ctx, key string) (rec, error) {
			defer callers.Add(-1)
			if callers.Add(1) > 32 {
				return rec{}, core.ErrNotFound
			}
			time.Sleep(200 * time.Microsecond)
			return b.Backend.Load(ctx, key)
		}
	})},

	// faults that another author's backend might have
	{what: "retains the slice of a Save with a version", by: "basics/saved-slice", build: func() func(b *broken) {
		var saved sync.Map
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil && r.Version != core.AnyVersion {
					saved.Store(v, r.Data)
				}
				return v, err
			}
			b.load = func(ctx ctx, key string) (rec, error) {
				r, err := b.Backend.Load(ctx, key)
				if data, ok := saved.Load(r.Version); ok && err == nil {
					r.Data = bytes.Clone(data.(core.Data))
				}
				return r, err
			}
		}
	}},
	{what: "waits for a lease that was released before", by: "watch/free", build: func() func(b *broken) {
		var leased sync.Map
		return func(b *broken) {
			b.leased(func(key string, l core.Lease) *brokenLease {
				leased.Store(key, true)
				return &brokenLease{Lease: l}
			})
			b.wait = func(c ctx, key string, seen ver) error {
				if l, err := b.Backend.Acquire(c, key, time.Minute); err == nil {
					_ = l.Release(c)
					if _, ok := leased.Load(key); ok {
						return b.waitForChange(c, key, seen)
					}
				}
				return b.Backend.Wait(c, key, seen)
			}
		}
	}},
	{what: "calls a Save that changes nothing a conflict", by: "versions/same-data", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			if was, err := b.Backend.Load(ctx, key); err == nil && was.Version == r.Version && bytes.Equal(was.Data, r.Data) {
				return "", core.ErrConflict
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "folds case in the keys it waits for", by: "keys/waits", build: each(func(b *broken) {
		b.wait = func(ctx ctx, key string, seen ver) error { return b.Backend.Wait(ctx, strings.ToLower(key), seen) }
	})},
	{what: "has one refresh at a time for keys that differ in case", by: "refresh/keys-apart", build: func() func(b *broken) {
		var busy sync.Map
		return func(b *broken) {
			b.shouldRefresh = func(c ctx, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
				for {
					if _, held := busy.LoadOrStore(strings.ToLower(key), true); !held {
						break
					}
					if c.Err() != nil {
						return 0, c.Err()
					}
					time.Sleep(time.Millisecond)
				}
				defer busy.Delete(strings.ToLower(key))
				return core.Coordinate(c, b, b, key, req)
			}
		}
	}},
	{what: "takes the outage of a later page for the end", by: "many/keys-outage", build: each(func(b *broken) {
		b.keys = func(c ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				n := 0
				for key, err := range b.Backend.Keys(c) {
					if n++; n%100 == 0 {
						if _, err := b.Backend.Check(c, key); errors.Is(err, reference.ErrOutage) {
							return
						}
					}
					if !yield(key, err) {
						return
					}
				}
			}
		}
	})},
	{what: "wakes waiters when an outage begins", by: "outage/wait", build: each(func(b *broken) {
		b.wait = func(c ctx, key string, seen ver) error {
			if _, err := b.Backend.Check(c, "-"); err != nil {
				return err
			}
			for {
				bounded, cancel := context.WithTimeout(c, time.Millisecond)
				err := b.Backend.Wait(bounded, key, seen)
				cancel()
				if errors.Is(err, reference.ErrOutage) {
					return nil
				}
				if err == nil || c.Err() != nil {
					return err
				}
			}
		}
	})},
	{what: "takes the version of any record for this one's", by: "versions/another-key", build: each(func(b *broken) {
		b.save = func(ctx ctx, key string, r rec) (ver, error) {
			for other := range b.Backend.Keys(ctx) {
				if was, err := b.Backend.Load(ctx, other); err == nil && was.Version == r.Version {
					r.Version = core.AnyVersion
				}
			}
			return b.Backend.Save(ctx, key, r)
		}
	})},
	{what: "leaves a record behind when it is pinged", by: "list/records-only", build: each(func(b *broken) {
		b.ping = func(ctx ctx) error {
			_, err := b.Backend.Save(ctx, "ping", rec{Data: []byte("pong"), Version: core.AnyVersion})
			return err
		}
	})},
	{what: "calls a record damaged that is deleted at the moment", by: "payload/deleted", build: each(func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			if ok, err := b.Backend.Check(ctx, key); err != nil || !ok {
				return b.Backend.Load(ctx, key)
			}
			runtime.Gosched()
			r, err := b.Backend.Load(ctx, key)
			if errors.Is(err, core.ErrNotFound) {
				err = core.ErrCorrupt
			}
			return r, err
		}
	})},

	// model
	{what: "loses one save in seventeen", by: "model/sequence", build: func() func(b *broken) {
		var saves atomic.Int32
		return func(b *broken) {
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				was, loaded := b.Backend.Load(ctx, key)
				v, err := b.Backend.Save(ctx, key, r)
				if err == nil && loaded == nil && saves.Add(1)%17 == 0 {
					was.Version = core.AnyVersion
					return b.Backend.Save(ctx, key, was)
				}
				return v, err
			}
		}
	}},
}

// keepOne keeps empty names out, which would be invalid keys.
func keepOne(key, name string) string {
	if name == "" {
		return key
	}
	return name
}

func (b *broken) ignoreVersions(ctx context.Context, key string, r rec) (ver, error) {
	r.Version = core.AnyVersion
	return b.Backend.Save(ctx, key, r)
}

// twoSteps compares the version, and then writes.
func (b *broken) twoSteps(ctx context.Context, key string, r rec) (ver, error) {
	if core.ValidateKey(key) == nil && r.Version != core.AnyVersion {
		was, err := b.Backend.Load(ctx, key)
		if errors.Is(err, core.ErrNotFound) {
			was.Version, err = core.Absent, nil
		}
		if err != nil {
			return "", err
		}
		if was.Version != r.Version {
			return "", core.ErrConflict
		}
		r.Version = core.AnyVersion
		runtime.Gosched()
	}
	return b.Backend.Save(ctx, key, r)
}

// holds says whether more than size bytes are stored.
func (b *broken) holds(ctx context.Context, key string, size int) bool {
	r, err := b.Backend.Load(ctx, key)
	return err == nil && len(r.Data) > size
}

// abandoning has an answer come a moment after the store granted the lease: who
// has left by then leaves the lease.
func (b *broken) abandoning(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	l, err := b.Backend.Acquire(ctx, key, ttl)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Millisecond):
		return l, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wokenBy has waiters return at what is no change.
func wokenBy(breaks func(b *broken, wake func())) func() func(b *broken) {
	return func() func(b *broken) {
		var wakes atomic.Int64
		return func(b *broken) {
			breaks(b, func() { wakes.Add(1) })
			b.wait = func(c ctx, key string, seen ver) error {
				before := wakes.Load()
				for c.Err() == nil && wakes.Load() == before {
					bounded, cancel := context.WithTimeout(c, time.Millisecond)
					err := b.Backend.Wait(bounded, key, seen)
					timedOut := bounded.Err() != nil
					cancel()
					if err == nil || !timedOut {
						return err
					}
				}
				return c.Err()
			}
		}
	}
}

// renewing has every lease renewed so often and no more.
func renewing(most int32) func() func(b *broken) {
	return each(func(b *broken) {
		b.leased(func(_ string, l core.Lease) *brokenLease {
			var n atomic.Int32
			return &brokenLease{Lease: l, renew: func(ctx context.Context, ttl time.Duration) error {
				if n.Add(1) > most {
					return core.ErrLeaseLost
				}
				return l.Renew(ctx, ttl)
			}}
		})
	})
}

// acquiring has every key leased so often and no more.
func acquiring(most int32) func() func(b *broken) {
	return func() func(b *broken) {
		var given sync.Map
		return func(b *broken) {
			b.acquire = func(ctx ctx, key string, ttl time.Duration) (core.Lease, error) {
				l, err := b.Backend.Acquire(ctx, key, ttl)
				if n, _ := given.LoadOrStore(key, new(atomic.Int32)); err == nil && n.(*atomic.Int32).Add(1) > most {
					_ = l.Release(ctx)
					return nil, core.ErrLeaseHeld
				}
				return l, err
			}
		}
	}
}

func (b *broken) waitForLease(ctx context.Context, key string, _ ver) error {
	for ctx.Err() == nil {
		if l, err := b.Backend.Acquire(ctx, key, time.Minute); err == nil {
			return l.Release(ctx)
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

func (b *broken) waitForChange(ctx context.Context, key string, seen ver) error {
	for ctx.Err() == nil {
		if r, err := b.Backend.Load(ctx, key); err == nil && r.Version != seen {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

func aliasing() func(b *broken) {
	var mu sync.Mutex
	stored := map[ver][]byte{}
	return func(b *broken) {
		b.load = func(ctx ctx, key string) (rec, error) {
			r, err := b.Backend.Load(ctx, key)
			if err != nil {
				return r, err
			}
			mu.Lock()
			defer mu.Unlock()
			if data, ok := stored[r.Version]; ok {
				r.Data = data
			} else {
				stored[r.Version] = r.Data
			}
			return r, nil
		}
	}
}

// digesting has versions that are made of the data.
func digesting(digest func(data []byte) ver) func() func(b *broken) {
	return func() func(b *broken) {
		return func(b *broken) {
			b.load = func(ctx ctx, key string) (rec, error) {
				r, err := b.Backend.Load(ctx, key)
				r.Version = digest(r.Data)
				return r, err
			}
			b.save = func(ctx ctx, key string, r rec) (ver, error) {
				if r.Version != core.AnyVersion && r.Version != core.Absent {
					was, err := b.Backend.Load(ctx, key)
					if err != nil || digest(was.Data) != r.Version {
						return "", core.ErrConflict
					}
					r.Version = was.Version
				}
				_, err := b.Backend.Save(ctx, key, r)
				return digest(r.Data), err
			}
		}
	}
}

// anybodys makes a lease's method act on whatever lease the key has.
func anybodys(method string) func() func(b *broken) {
	return func() func(b *broken) {
		var last sync.Map
		return func(b *broken) {
			b.leased(func(key string, l core.Lease) *brokenLease {
				last.Store(key, l)
				now := func() core.Lease { l, _ := last.Load(key); return l.(core.Lease) }
				broken := &brokenLease{Lease: l}
				if method == "renew" {
					broken.renew = func(ctx context.Context, ttl time.Duration) error { return now().Renew(ctx, ttl) }
				} else {
					broken.release = func(ctx context.Context) error { return now().Release(ctx) }
				}
				return broken
			})
		}
	}
}

func coordinated(k coordinator) func() func(b *broken) {
	return each(func(b *broken) { b.shouldRefresh = k.shouldRefresh(b) })
}

func listing(edit func(keys []string) ([]string, error)) func() func(b *broken) {
	return each(func(b *broken) {
		b.keys = func(ctx ctx) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				var keys []string
				for key, err := range b.Backend.Keys(ctx) {
					if err != nil {
						yield("", err)
						return
					}
					keys = append(keys, key)
				}
				keys, err := edit(keys)
				if err != nil {
					yield("", err)
					return
				}
				for _, key := range keys {
					if !yield(key, nil) {
						return
					}
				}
			}
		}
	})
}

// env is a store whose handles are broken.
type env struct {
	*reference.Store
	breaks func(b *broken)
}

func (e env) Open(T) core.TokenBackend {
	b := &broken{Backend: e.Store.Open()}
	if e.breaks != nil {
		e.breaks(b)
	}
	return b
}

// harness runs the mutant's case alone, so that the proof is over soon.
func (m mutant) harness() Harness {
	want := everything
	if m.want != nil {
		m.want(&want)
	}
	skip := map[string]string{}
	for _, g := range suite() {
		for _, k := range g.cases {
			if name := g.name + "/" + k.name; name != m.by && !*whole {
				skip[name] = "not the case that is to catch it"
			}
		}
	}
	return Harness{Want: want, Skip: skip, Timeout: 4 * time.Second, LeaseTTL: 100 * time.Millisecond, New: func(T) Env {
		e := env{Store: reference.New()}
		e.MaxSize = m.size
		if m.build != nil {
			e.breaks = m.build()
		}
		if m.fixed {
			return struct{ Env }{e}
		}
		return e
	}}
}

var whole = flag.Bool("whole", false, "have broken backends go through the whole suite, and show how it went")

// proof is what the suite says of a broken backend.
type proof struct {
	report Report
	err    error
}

func (p proof) caughtBy(name string) bool {
	return slices.ContainsFunc(p.report.Cases, func(c Case) bool { return c.Name == name && c.Outcome == Failed })
}

func TestEveryBrokenBackendIsCaughtByTheCaseNamedForIt(t *testing.T) {
	proofs := make([]chan proof, len(mutants))
	places := make(chan struct{}, 6) // they wait, mostly
	// A fault that needs a race may not show at once on a busy machine, so the suite gets
	// three tries. The first try finds every other fault.
	check := func(i int) {
		var p proof
		for range 3 {
			if p.report, p.err = Check(t.Context(), mutants[i].harness()); p.caughtBy(mutants[i].by) {
				break
			}
		}
		proofs[i] <- p
	}
	for i, m := range mutants {
		proofs[i] = make(chan proof, 1)
		if m.by == "redaction/logs" {
			check(i) // there is one default logger
		}
	}
	go func() {
		for i, m := range mutants {
			if m.by != "redaction/logs" {
				places <- struct{}{}
				go func() {
					defer func() { <-places }()
					check(i)
				}()
			}
		}
	}()
	for i, m := range mutants {
		t.Run(strings.ReplaceAll(m.what, " ", "-"), func(t *testing.T) {
			p := <-proofs[i]
			if p.err == nil {
				t.Errorf("a backend that %s passes", m.what)
			}
			i := slices.IndexFunc(p.report.Cases, func(c Case) bool { return c.Name == m.by })
			if i < 0 {
				t.Fatalf("there is no case %s", m.by)
			}
			if c := p.report.Cases[i]; c.Outcome != Failed {
				t.Errorf("a backend that %s is not caught by %s: it is %s, %s", m.what, m.by, c.Outcome, c.Detail)
			} else {
				t.Logf("%s: %s", m.by, c.Detail)
			}
			if *whole {
				for _, c := range p.report.Cases {
					if c.Outcome == Failed {
						t.Logf("%s: %s", c.Name, c.Detail)
					}
				}
			}
		})
	}
}

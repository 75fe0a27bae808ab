package tokencache_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func userName(i int) string { return fmt.Sprintf("user%d@contoso.com", i) }

// manyUsers is a document with tokens as long as Entra's, 5.6 kB for each user.
func manyUsers(n int) []byte {
	c := tokencache.New()
	for i := range n {
		home := fmt.Sprintf("%08d-0000-0000-0000-000000000001.%s", i, tenant)
		r := answer(userName(i), home, fmt.Sprint(i), noon)
		r.AccessToken += strings.Repeat("A", 1800)
		r.RefreshToken += strings.Repeat("R", 1400)
		r.IDToken = idToken(fmt.Sprintf(`{"oid":"%08d-0000-0000-0000-000000000001","preferred_username":%q,"x":%q}`, i, userName(i), strings.Repeat("I", 700)))
		if err := c.Put(r); err != nil {
			panic(err)
		}
	}
	data, err := c.Marshal()
	if err != nil {
		panic(err)
	}
	return data
}

var sizes = []int{1, 100, 1000}

func BenchmarkParse(b *testing.B) {
	for _, n := range sizes {
		data := manyUsers(n)
		b.Run(fmt.Sprintf("users=%d/tokencache", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokencache.Parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("users=%d/encoding-json", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var document map[string]map[string]map[string]any
				if err := json.Unmarshal(data, &document); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAccessToken(b *testing.B) {
	for _, n := range sizes {
		c := parse(b, string(manyUsers(n)))
		home := c.Accounts()[n/2].HomeAccountID
		for _, q := range []struct {
			by string
			tokencache.Query
		}{
			{"name", tokencache.Query{Username: userName(n / 2), Scopes: []string{"User.Read"}}},
			{"home-account", tokencache.Query{HomeAccountID: home, ClientID: clientA, Scopes: []string{"User.Read"}}},
		} {
			b.Run(fmt.Sprintf("users=%d/by=%s", n, q.by), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := c.AccessToken(q.Query); !ok {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	for _, n := range sizes {
		c := parse(b, string(manyUsers(n)))
		b.Run(fmt.Sprintf("users=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Marshal(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClone(b *testing.B) {
	for _, n := range sizes {
		c := parse(b, string(manyUsers(n)))
		b.Run(fmt.Sprintf("users=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Clone()
			}
		})
	}
}

// BenchmarkMerge merges a refresh with one of another user.
func BenchmarkMerge(b *testing.B) {
	for _, n := range sizes {
		data := string(manyUsers(n))
		base, theirs := parse(b, data), parse(b, data)
		mine := base.Clone()
		home := base.Accounts()[0].HomeAccountID
		put(b, mine, refreshed(userName(0), home, "mine", noon))
		put(b, theirs, refreshed(userName(n), "another.one", "theirs", noon))
		b.Run(fmt.Sprintf("users=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tokencache.Merge(base, mine, theirs)
			}
		})
	}
}

// Package bench compares, in one run, what this project does with what a user
// would pick instead. docs/benchmarks.md has the figures.
package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"golang.org/x/oauth2"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const tenant = "cccccccc-0000-0000-0000-000000000000"

func home(i int) string { return fmt.Sprintf("aaaaaaaa-0000-0000-0000-%012d.%s", i, tenant) }

// users is a token cache as n users leave it, with tokens of real lengths.
func users(tb testing.TB, n int) *tokencache.Cache {
	tb.Helper()
	c := tokencache.New()
	for i := range n {
		err := c.Put(tokencache.TokenResponse{
			AccessToken:   strings.Repeat("a", 1500),
			RefreshToken:  strings.Repeat("r", 1200),
			IDToken:       strings.Repeat("i", 1000),
			Scope:         "User.Read Mail.ReadWrite openid profile",
			TokenType:     "Bearer",
			ExpiresIn:     3600,
			ClientID:      entra.PublicClient,
			Environment:   "login.microsoftonline.com",
			Tenant:        "common",
			HomeAccountID: home(i),
			Sent:          time.Now(),
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

func BenchmarkToken(b *testing.B) {
	ctx := context.Background()
	b.Run("core.TokenSource", func(b *testing.B) {
		ts := source(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ts.Token(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("oauth2.ReuseTokenSource", func(b *testing.B) {
		ts := oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: "x", Expiry: time.Now().Add(time.Hour)}, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ts.Token(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("msal from memory", func(b *testing.B) { silent(b, nil) })
	b.Run("msal through a file accessor", func(b *testing.B) {
		silent(b, fileAccessor(filepath.Join(b.TempDir(), "cache.json")))
	})
}

func BenchmarkTokenParallel(b *testing.B) {
	ctx := context.Background()
	b.Run("core.TokenSource", func(b *testing.B) {
		ts := source(b)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = ts.Token(ctx)
			}
		})
	})
	b.Run("oauth2.ReuseTokenSource", func(b *testing.B) {
		ts := oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: "x", Expiry: time.Now().Add(time.Hour)}, nil)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = ts.Token()
			}
		})
	})
}

// BenchmarkSource is what a web server pays that makes a source per request.
func BenchmarkSource(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			ctx := context.Background()
			store, q, keys := known(b, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := store.TokenSource(keys[i%n], q, nil).Token(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// With -cpu 1,2 it tells what a second processor brings.
func BenchmarkSourceParallel(b *testing.B) {
	ctx := context.Background()
	const n = 10_000
	store, q, keys := known(b, n)
	var first atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := int(first.Add(n / 2)); pb.Next(); i++ {
			_, _ = store.TokenSource(keys[i%n], q, nil).Token(ctx)
		}
	})
}

// known returns a store that has found a token under each of n keys.
func known(b *testing.B, n int) (*core.Store, tokencache.Query, []string) {
	b.Helper()
	ctx := context.Background()
	store, q := stored(b)
	c, _, err := store.Load(ctx, "k")
	if err != nil {
		b.Fatal(err)
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("user-%05d", i)
		if _, err := store.Save(ctx, keys[i], c, core.Absent); err != nil {
			b.Fatal(err)
		}
		if _, err := store.TokenSource(keys[i], q, nil).Token(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return store, q, keys
}

func stored(b *testing.B) (*core.Store, tokencache.Query) {
	b.Helper()
	backend, err := memory.New(memory.Options{})
	if err != nil {
		b.Fatal(err)
	}
	store := core.NewStore(backend)
	if _, err := store.Save(context.Background(), "k", users(b, 1), core.Absent); err != nil {
		b.Fatal(err)
	}
	return store, tokencache.Query{HomeAccountID: home(0), Scopes: []string{"User.Read"}}
}

func source(b *testing.B) *core.TokenSource {
	b.Helper()
	store, q := stored(b)
	ts := store.TokenSource("k", q, nil)
	if _, err := ts.Token(context.Background()); err != nil {
		b.Fatal(err)
	}
	return ts
}

// silent measures MSAL Go's silent call for a token that is valid.
func silent(b *testing.B, accessor cache.ExportReplace) {
	ctx := context.Background()
	idp := entra.Start(b, entra.Options{DefaultUser: entra.Ana})
	opts := []public.Option{public.WithAuthority("https://login.microsoftonline.com/common"), public.WithHTTPClient(idp.HTTPClient())}
	if accessor != nil {
		opts = append(opts, public.WithCache(accessor))
	}
	app, err := public.New(entra.PublicClient, opts...)
	if err != nil {
		b.Fatal(err)
	}
	scopes := []string{"User.Read"}
	res, err := app.AcquireTokenInteractive(ctx, scopes, public.WithOpenURL(idp.Browse))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := app.AcquireTokenSilent(ctx, scopes, public.WithSilentAccount(res.Account)); err != nil {
			b.Fatal(err)
		}
	}
}

// fileAccessor is the accessor that MSAL Go's documentation shows.
type fileAccessor string

func (f fileAccessor) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	data, err := os.ReadFile(string(f))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Unmarshal(data)
}

func (f fileAccessor) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(string(f), data, 0o600)
}

// bytesAccessor hands MSAL Go a document that is already in memory.
type bytesAccessor []byte

func (d bytesAccessor) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	return c.Unmarshal(d)
}

func (bytesAccessor) Export(context.Context, cache.Marshaler, cache.ExportHints) error { return nil }

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		data, err := users(b, n).Marshal()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("tokencache/users=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokencache.Parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("msal/users=%d", n), func(b *testing.B) {
			app, err := public.New(entra.PublicClient, public.WithCache(bytesAccessor(data)))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				accounts, err := app.Accounts(context.Background())
				if err != nil || len(accounts) != n {
					b.Fatal(len(accounts), err)
				}
			}
		})
	}
}

// BenchmarkLookup shows that one user's token is found in constant time.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10_000} {
		c := users(b, n)
		q := tokencache.Query{HomeAccountID: home(n - 1), Scopes: []string{"User.Read"}}
		b.Run(fmt.Sprintf("users=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := c.AccessToken(q); !ok {
					b.Fatal("no token")
				}
			}
		})
	}
}

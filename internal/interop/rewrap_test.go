package interop

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// GRAPHTOKEN_RECORDS sets how many records there are; scripts/soak has 10,000.
func TestRecordsOnRedisAreRewrappedBesideAProgramThatRefreshesAHundredOfThem(t *testing.T) {
	const refreshed, padding = 100, 5 << 10
	records := 1_000
	if text := os.Getenv("GRAPHTOKEN_RECORDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < refreshed || n%refreshed != 0 {
			t.Fatalf("GRAPHTOKEN_RECORDS=%s is no multiple of %d", text, refreshed)
		}
		records = n
	}
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr})
	t.Cleanup(func() { client.Close() })
	backend, err := redis.New(client, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	last, this := crypto.NewKey(), crypto.NewKey()
	before, between, after := newKeyring(t, last), newKeyring(t, last, this), newKeyring(t, this, last)
	key := func(i int) string { return fmt.Sprintf("user-%d", i) }

	// The records, of some 6 KB each, under the old key.
	var filling sync.WaitGroup
	for w := range 8 {
		filling.Go(func() {
			store := core.NewStore(backend, core.WithCryptography(before))
			for i := w; i < records && !t.Failed(); i += 8 {
				c := tokencache.New()
				if err := fileRefresh(c, i, 0, padding); err != nil {
					t.Error(err)
				} else if _, err := store.Save(t.Context(), key(i), c, core.Absent); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if filling.Wait(); t.Failed() {
		return
	}

	// A program that refreshes, and still writes with the old key.
	store := core.NewStore(backend, core.WithCryptography(between))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var refreshes [refreshed]int // of each record, by the program alone
	var program sync.WaitGroup
	program.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			for i := range refreshed {
				if ctx.Err() != nil {
					return
				}
				_, _, err := store.Refresh(t.Context(), key(i*records/refreshed), core.AnyVersion, func(_ context.Context, c *tokencache.Cache) error {
					return fileRefresh(c, i*records/refreshed, n, padding)
				})
				if err != nil {
					t.Errorf("refresh %d of %s: %v", n, key(i), err)
					return
				}
				refreshes[i] = n
			}
		}
	})
	begun := time.Now()
	report, err := crypto.Rewrap(t.Context(), backend, after, crypto.RewrapOptions{})
	took := time.Since(begun)
	stop()
	program.Wait()
	if err != nil || report.Rewrapped+report.Current != records {
		t.Fatalf("%+v, %v", report, err)
	}
	t.Logf("%d records in %v, %.0f a second, beside %d refreshes", records, took.Round(time.Millisecond), float64(records)/took.Seconds(), refreshes[0]*refreshed)

	// A second call rewraps the records that the program saved after Rewrap had been there,
	// and touches nothing else.
	if report, err = crypto.Rewrap(t.Context(), backend, after, crypto.RewrapOptions{}); err != nil || report.Rewrapped > refreshed {
		t.Errorf("again: %+v, %v", report, err)
	}
	alone := core.NewStore(backend, core.WithCryptography(newKeyring(t, this)))
	for i := range records {
		n := 0
		if i%(records/refreshed) == 0 {
			n = refreshes[i/(records/refreshed)]
		}
		c, _, err := alone.Load(t.Context(), key(i))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("rt-%d-%d", i, n)
		if rt, ok := c.RefreshToken(tokencache.Query{HomeAccountID: anaHome}); !ok || rt.Secret.Reveal() != want {
			t.Errorf("%s has the refresh token %q, want %q", key(i), rt.Secret.Reveal(), want)
		}
	}
}

func newKeyring(t *testing.T, primary crypto.Key, others ...crypto.Key) *crypto.Keyring {
	t.Helper()
	k, err := crypto.NewKeyring(primary, others...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fileRefresh files the nth refresh of user i, with an access token of that size.
func fileRefresh(c *tokencache.Cache, i, n, size int) error {
	return c.Put(tokencache.TokenResponse{
		AccessToken: fmt.Sprintf("at-%d-%d-%0*d", i, n, size, 0), RefreshToken: fmt.Sprintf("rt-%d-%d", i, n), Scope: "User.Read openid profile", ExpiresIn: 3599,
		ClientID: clientID, Tenant: "common", HomeAccountID: anaHome, Sent: time.Now(), GrantType: "refresh_token",
	})
}

package pairing

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// plainFile is the accessor that MSAL Go's documentation shows: the file is read at each
// call.
type plainFile string

func (f plainFile) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	data, err := os.ReadFile(string(f))
	if err != nil {
		return err
	}
	return c.Unmarshal(data)
}

func (f plainFile) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(string(f), data, 0o600)
}

// once gives MSAL a file at the first call, so that MSAL works from memory from then on.
type once struct {
	plainFile
	given bool
}

func (o *once) Replace(ctx context.Context, c cache.Unmarshaler, h cache.ReplaceHints) error {
	if o.given {
		return nil
	}
	o.given = true
	return o.plainFile.Replace(ctx, c, h)
}

// A silent call of MSAL Go whose token is valid, through the accessor over a file and
// from MSAL's memory; and by itself, since its garbage would be in the others' way, with a
// plain accessor of the same file.
func BenchmarkSilentCall(b *testing.B) {
	for _, users := range []int{1, 1000} {
		idp, dir := entra.Start(b, entra.Options{}), b.TempDir()
		backend, err := filesystem.New(dir, filesystem.Options{})
		if err != nil {
			b.Fatal(err)
		}
		store := core.NewStore(backend)
		accessor := msal.NewAccessor(store, msal.AccessorOptions{})
		account := signInByMSAL(b, idp, accessor)
		addUsers(b, store, users-1)
		file := plainFile(filepath.Join(dir, msal.DefaultRecord))
		silent := func(a cache.ExportReplace) func() error {
			client := newMSAL(b, idp, a)
			return func() error {
				_, err := client.AcquireTokenSilent(b.Context(), scopes, public.WithSilentAccount(account))
				return err
			}
		}
		b.Run(fmt.Sprintf("users=%d/accessor", users), func(b *testing.B) {
			sidebyside.Run(b, many(silent(accessor)), many(silent(&once{plainFile: file})))
		})
		b.Run(fmt.Sprintf("users=%d/file", users), func(b *testing.B) {
			for call := silent(file); b.Loop(); {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
		if asked := idp.Grants().RefreshesSucceeded; asked != 0 {
			b.Fatalf("%d tokens were refreshed", asked)
		}
	}
}

var scopes = []string{"User.Read"}

func newMSAL(t testing.TB, idp *entra.Server, a cache.ExportReplace) public.Client {
	t.Helper()
	client, err := public.New(entra.PublicClient, public.WithAuthority("https://login.microsoftonline.com/common"),
		public.WithHTTPClient(idp.HTTPClient()), public.WithCache(a))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func signInByMSAL(t testing.TB, idp *entra.Server, a cache.ExportReplace) public.Account {
	t.Helper()
	result, err := newMSAL(t, idp, a).AcquireTokenInteractive(t.Context(), scopes,
		public.WithOpenURL(idp.BrowseAs(entra.Ana)), public.WithLoginHint(entra.Ana))
	if err != nil {
		t.Fatal(err)
	}
	return result.Account
}

// addUsers signs in more users, with tokens of the usual lengths.
func addUsers(t testing.TB, store *core.Store, n int) {
	t.Helper()
	err := store.Update(t.Context(), msal.DefaultRecord, func(c *tokencache.Cache) error {
		for i := range n {
			if err := c.Put(tokencache.TokenResponse{
				AccessToken: strings.Repeat("a", 2000), RefreshToken: strings.Repeat("r", 1500), Scope: "User.Read", ExpiresIn: 3600,
				ClientID: entra.PublicClient, Tenant: "common", HomeAccountID: fmt.Sprintf("user%d.tenant", i), Username: fmt.Sprintf("user%d@contoso.com", i),
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

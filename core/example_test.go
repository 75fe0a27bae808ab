package core_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// mapBackend keeps records in a map. A program uses one of the modules below
// backends/ instead.
type mapBackend struct {
	core.Uncoordinated
	mu      sync.Mutex
	records map[string]core.Record
	saves   int
}

func (b *mapBackend) Load(_ context.Context, key string) (core.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, ok := b.records[key]
	if !ok {
		return core.Record{}, core.ErrNotFound
	}
	return record, nil
}

func (b *mapBackend) Save(_ context.Context, key string, record core.Record) (core.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if record.Version != core.AnyVersion && record.Version != b.records[key].Version {
		return "", core.ErrConflict
	}
	b.saves++
	record.Version = core.Version(strconv.Itoa(b.saves))
	b.records[key] = record
	return record.Version, nil
}

func (b *mapBackend) Check(_ context.Context, key string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.records[key]
	return ok, nil
}

func (b *mapBackend) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.records, key)
	return nil
}

// A token source refreshes when it has to, and returns the same token until then.
func ExampleTokenSource() {
	ctx := context.Background()
	store := core.NewStore(&mapBackend{records: map[string]core.Record{}})

	// A refresh function asks the identity provider, and puts its answer into the
	// cache. Module account and the adapters have refresh functions.
	requests := 0
	refresh := func(_ context.Context, cache *tokencache.Cache, _ core.Refresh) error {
		requests++
		return cache.Put(tokencache.TokenResponse{
			AccessToken: "eyJ0.e30", RefreshToken: "0.AX", ExpiresIn: 3600, Scope: "User.Read",
			ClientID: "11111111-2222-3333-4444-555555555555", Tenant: "contoso.com",
			HomeAccountID: "uid.utid", Username: "ana@contoso.com",
		})
	}

	source := store.TokenSource("ana", tokencache.Query{Scopes: []string{"User.Read"}}, refresh)
	for range 3 {
		token, err := source.Token(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(token.Secret, "for", token.Scopes) // a Secret prints its length alone
	}
	fmt.Println("requests to the provider:", requests)
	// Output:
	// [secret, 8 bytes] for [User.Read]
	// [secret, 8 bytes] for [User.Read]
	// [secret, 8 bytes] for [User.Read]
	// requests to the provider: 1
}

// Update edits a record. It loads the record again, and calls the function again, if another
// process saved meanwhile.
func ExampleStore_Update() {
	ctx := context.Background()
	store := core.NewStore(&mapBackend{records: map[string]core.Record{}})
	for _, user := range []string{"ana@contoso.com", "bo@contoso.com"} {
		_, err := store.Put(ctx, "team", tokencache.TokenResponse{
			AccessToken: "eyJ0.e30", RefreshToken: "0.AX", ExpiresIn: 3600, Scope: "User.Read",
			ClientID: "11111111-2222-3333-4444-555555555555", Tenant: "contoso.com",
			HomeAccountID: user + ".utid", Username: user,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}

	err := store.Update(ctx, "team", func(cache *tokencache.Cache) error {
		cache.Remove(tokencache.Query{Username: "bo@contoso.com"})
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache, _, err := store.Load(ctx, "team")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, account := range cache.Accounts() {
		fmt.Println(account.Username)
	}
	// Output:
	// ana@contoso.com
}

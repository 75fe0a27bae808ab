package main

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestPurgeKeepsAUserWhoSignedInAgainAfterItLooked(t *testing.T) {
	b := inMemory(t)
	store := core.NewStore(b)
	put(t, b, "k", cacheOf(t, time.Now().Add(-100*24*time.Hour), "ana", "bo"))
	cmd := &purgeCommand{Unused: 90, Delete: true}
	cache, _, err := store.Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	users := cache.Accounts()
	if len(users) != 2 || cmd.useless(cache, users[0]) == "" {
		t.Fatalf("the users %v are of use", users)
	}
	put(t, b, "k", cacheOf(t, time.Now(), "ana", "bo")) // both sign in again
	for _, a := range users {
		if removed, err := cmd.remove(t.Context(), store, "k", a); removed || err != nil {
			t.Errorf("%s: removed %t, %v", a.HomeAccountID, removed, err)
		}
	}
	if cache, _, err = store.Load(t.Context(), "k"); err != nil || len(cache.Accounts()) != 2 {
		t.Errorf("afterwards there are %v, %v", cache.Accounts(), err)
	}
}

func TestTokensWhoseAgeIsUnknownAreKept(t *testing.T) {
	cache, err := tokencache.Parse([]byte(`{"AccessToken":{},"Account":{"a":{"home_account_id":"ana.home","environment":"e","realm":"t","username":"ana"}},
		"RefreshToken":{"r":{"home_account_id":"ana.home","environment":"e","client_id":"app","credential_type":"RefreshToken","secret":"x"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if why := (&purgeCommand{Unused: 1}).useless(cache, cache.Accounts()[0]); why != "" {
		t.Errorf("purge would remove them: %s", why)
	}
}

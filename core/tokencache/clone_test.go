package tokencache_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestACloneAndItsOriginAreIndependent(t *testing.T) {
	origin := parse(t, python(t, "o365_token.txt"))
	want := marshal(t, origin)
	clones := []*tokencache.Cache{origin.Clone(), origin.Clone(), origin.Clone().Clone(), tokencache.New()}
	clones[3].Replace(origin)
	untouched := origin.Clone()
	var all sync.WaitGroup
	for i, c := range append(clones, origin) {
		all.Go(func() {
			for n := range 50 {
				r := refreshed("ana@contoso.com", anaID, fmt.Sprint(i, n), noon.Add(time.Duration(n)*time.Second))
				if err := c.Put(r); err != nil {
					t.Error(err)
				}
				wantRefresh(t, c, ana, "rt-"+fmt.Sprint(i, n))
				put(t, c, answer(fmt.Sprintf("user%d@contoso.com", n), fmt.Sprintf("%d.%d", i, n), "x", noon))
				put(t, c, answer("ana@contoso.com", fmt.Sprintf("twin%d.%d", i, n%3), "x", noon))
				c.Remove(tokencache.Query{HomeAccountID: fmt.Sprintf("twin%d.%d", i, n%3)})
				c.DropAccessToken(bo)
				marshal(t, tokencache.Merge(untouched, c, untouched))
			}
		})
	}
	for range 4 { // readers, at once
		all.Go(func() {
			for range 50 {
				wantAccess(t, untouched, ana, "at-ana")
				wantRefresh(t, untouched, ana, "rt-ana")
				untouched.Accounts()
				untouched.Ambiguous(tokencache.Query{})
				_ = untouched.String()
				if marshal(t, untouched.Clone()) != want {
					t.Error("it changed")
				}
			}
		})
	}
	all.Wait()
	if marshal(t, untouched) != want {
		t.Error("it changed")
	}
}

func TestNamesakesOfACloneAndItsOriginStayApart(t *testing.T) {
	namesake := func(c *tokencache.Cache, client string) {
		r := answer("ana@contoso.com", client+".t", client, noon)
		r.ClientID = client
		put(t, c, r)
	}
	origin := tokencache.New()
	for _, client := range []string{"1", "2", "3"} {
		namesake(origin, client)
	}
	clone := origin.Clone()
	namesake(origin, "origin")
	namesake(clone, "clone")
	wantAccess(t, origin, tokencache.Query{Username: ana.Username, ClientID: "origin"}, "at-origin")
	wantAccess(t, clone, tokencache.Query{Username: ana.Username, ClientID: "clone"}, "at-clone")
	wantAccess(t, clone, tokencache.Query{Username: ana.Username, ClientID: "origin"}, "")
}

func TestTheZeroCacheIsAnEmptyOne(t *testing.T) {
	var used, cloned, merged, replaced tokencache.Cache
	put(t, &used, answer("ana@contoso.com", anaID, "ana", noon))
	wantAccess(t, &used, ana, "at-ana")
	put(t, cloned.Clone(), answer("ana@contoso.com", anaID, "ana", noon))
	wantAccess(t, tokencache.Merge(&merged, &used, &merged), ana, "at-ana")
	replaced.Replace(&used)
	wantAccess(t, &replaced, ana, "at-ana")
	if marshal(t, &cloned) != "{}" || cloned.Remove(ana) || cloned.DropAccessToken(ana) || cloned.Ambiguous(ana) || len(cloned.Accounts()) != 0 {
		t.Error("it isn't empty")
	}
}

func TestReplaceTakesOverEverything(t *testing.T) {
	c := signedIn(t)
	o := parse(t, unknown)
	c.Replace(o)
	wantSame(t, marshal(t, c), unknown)
	wantAccess(t, c, bo, "")
	c.Remove(ana)
	wantSame(t, marshal(t, o), unknown)
	c.Replace(c)
	if _, ok := c.Account(ana); ok {
		t.Error("a removed user came back")
	}
}

func TestTheSameCacheGivesTheSameBytes(t *testing.T) {
	for _, data := range []string{python(t, "o365_token.txt"), unknown, string(manyUsers(50))} {
		first := marshal(t, parse(t, data))
		for range 10 {
			c := parse(t, data)
			if marshal(t, c) != first || marshal(t, c.Clone()) != first || marshal(t, c) != first {
				t.Fatal("it doesn't")
			}
		}
	}
}

// A token outlives the cache it came from: a process holds one per user, each
// from a Load of its own.
func TestATokenDoesNotHoldItsDocumentInMemory(t *testing.T) {
	data := string(manyUsers(200)) // over a megabyte
	var held []any
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	for i := range 30 {
		c := parse(t, data)
		q := tokencache.Query{Username: userName(i)}
		at, _ := c.AccessToken(q)
		rt, _ := c.RefreshToken(q)
		id, _ := c.IDToken(q)
		a, _ := c.Account(q)
		held = append(held, at, rt, id, a)
	}
	if grown := int64(inUse() - before); grown > 5<<20 {
		t.Errorf("120 tokens hold %d bytes", grown)
	}
	runtime.KeepAlive(held)
}

// A name that stands under two users is written for both.
func TestNoNameIsWrittenTwice(t *testing.T) {
	// An entry under ana's key is bo's.
	key := anaID + "-" + cloud + "-accesstoken-" + clientA + "-common-mail.read user.read"
	c := parse(t, fmt.Sprintf(`{"AccessToken":{%q:{"home_account_id":%q,"secret":"odd"}}}`, key, boID))
	put(t, c, answer("ana@contoso.com", anaID, "ana", noon))
	for range 20 {
		if marshal(t, c.Clone()) != marshal(t, c) {
			t.Fatal("the two change places")
		}
	}
	again := parse(t, marshal(t, c))
	wantAccess(t, again, ana, "at-ana")
	wantAccess(t, again, tokencache.Query{HomeAccountID: boID}, "odd")
}

package msal

import (
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// msalCache is what an Accessor knows of the cache of one MSAL client.
type msalCache struct {
	// onBehalfOf is MSAL's second cache, for tokens on behalf of users. MSAL never
	// exports it, so no record has its tokens; a record would only empty it.
	onBehalfOf bool
	looking    chan struct{}            // holds a value while a call looks at the record
	last       atomic.Pointer[snapshot] // the record that it was given last; nil if none
}

// cacheID identifies a cache of MSAL. It is a weak reference, because a service may make
// an MSAL client for each request, and because an address can be used again.
type cacheID = weak.Pointer[byte]

// cacheOf returns what is known of a cache. Nothing can be known of one that is no
// pointer, so it gets the record at each call.
func (a *Accessor) cacheOf(of any) *msalCache {
	v := reflect.ValueOf(of)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Size() == 0 {
		return newMSALCache(of)
	}
	address := (*byte)(v.UnsafePointer())
	id := weak.Make(address)
	if c, ok := a.caches.Load(id); ok {
		return c.(*msalCache)
	}
	c, known := a.caches.LoadOrStore(id, newMSALCache(of))
	if !known {
		runtime.AddCleanup(address, func(id cacheID) { a.caches.Delete(id) }, id)
	}
	return c.(*msalCache)
}

func newMSALCache(of any) *msalCache {
	// The type's name is all that tells the two caches of a client apart from outside.
	name := reflect.TypeOf(of).String()
	return &msalCache{onBehalfOf: name == "*storage.PartitionedManager", looking: make(chan struct{}, 1)}
}

// given returns what the cache was given last, if that is the record of the key.
func (c *msalCache) given(key string) *snapshot {
	if s := c.last.Load(); s != nil && s.key == key {
		return s
	}
	return nil
}

// snapshot is a record as it was given to a cache of MSAL. It is immutable.
type snapshot struct {
	key      string
	version  core.Version
	document *tokencache.Cache
	due      *dueTimes
	looked   int64  // at the record, in Unix nanoseconds by the wall clock: a machine may sleep
	writes   uint64 // the value of core.Writes at that time
}

// lookedAt is the snapshot after the record was found to be the same.
func (s *snapshot) lookedAt(now time.Time, writes uint64) *snapshot {
	next := *s
	next.looked, next.writes = now.UnixNano(), writes
	return &next
}

// unlooked is the snapshot after the record may have changed.
func (s *snapshot) unlooked() *snapshot {
	if s == nil {
		return nil
	}
	return s.lookedAt(time.Unix(0, 0), 0)
}

// goodFor returns how long MSAL can use the snapshot without a look at the record, if no
// call of this process changes a record meanwhile. Zero or less means that it can't.
func (s *snapshot) goodFor(now time.Time, maxAge time.Duration, partitionKey string) time.Duration {
	if s == nil || s.writes != core.Writes() {
		return 0
	}
	at := now.UnixNano()
	if at < s.looked || at >= s.dueAt(partitionKey) {
		return 0
	}
	return maxAge - time.Duration(at-s.looked)
}

// dueTimes remembers dueAt, by partition key.
type dueTimes struct {
	mu sync.RWMutex
	at map[string]int64
}

// never is the time of a call that sends no refresh token.
const never = 1<<63 - 1

// dueAt returns the time from which MSAL may send the refresh token of the user, or ask
// for another token of the application, that the partition key names: another process may
// have done so. It is in Unix nanoseconds.
func (s *snapshot) dueAt(partitionKey string) int64 {
	if partitionKey == "" { // to list the accounts, or before an export
		return never
	}
	s.due.mu.RLock()
	at, ok := s.due.at[partitionKey]
	s.due.mu.RUnlock()
	if ok {
		return at
	}
	token, ok := s.document.AccessToken(partition(partitionKey))
	if ok {
		// MSAL's rules: base.Client.AcquireTokenSilent and storage.AccessToken.Validate.
		due := token.ExpiresOn.Add(-5 * time.Minute)
		if refresh := token.RefreshOn; !refresh.IsZero() && refresh.Before(due) {
			due = refresh
		}
		at = due.UnixNano()
	}
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	s.due.at[partitionKey] = at
	return at
}

// partition is the query of the tokens that MSAL files under a partition key. The key of
// an application's is "<client ID>_<tenant>[_<hash>]_AppTokenCache"
// (authority.AuthParams.AppKey), that of a user's the home account ID.
func partition(key string) tokencache.Query {
	if app, ok := strings.CutSuffix(key, "_AppTokenCache"); ok {
		client, tenant, _ := strings.Cut(app, "_")
		tenant, _, _ = strings.Cut(tenant, "_")
		return tokencache.Query{App: true, ClientID: client, Tenant: tenant}
	}
	return tokencache.Query{HomeAccountID: key}
}

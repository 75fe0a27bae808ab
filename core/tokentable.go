package core

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// tokenTable is what a Store keeps for its token sources: for each query of each record, a
// slot with the access token that was found last, the running attempts to obtain a better
// one, and the failures of a moment ago. It asks the Store to read and to refresh records,
// and for nothing else.
type tokenTable struct {
	store          *Store
	window, jitter time.Duration // how long before its expiry a token is refreshed: see WithRefreshWindow
	maxStale       time.Duration
	limit          int // of slots

	obtained atomic.Uint64 // counts the tokens that came from the provider
	slots    atomic.Int64
	places   places
	sweeping sync.Mutex
	seed     maphash.Seed
	shards   [64]tableShard // many, so that sources on many processors don't wait for one lock
}

type tableShard struct {
	mu      sync.RWMutex
	records map[string]*tableRecord
}

// tableRecord is what the table knows of one record. It is guarded by its shard's mu, and is
// kept as long as it has a slot or an attempt.
type tableRecord struct {
	key      string
	shard    *tableShard
	slots    index[queryID, *slot]
	attempts index[attemptID, *attempt]  // the attempts that callers can join
	failures *recordFailures             // nil for none
	replaced map[tokencache.Secret]int64 // heldToken.replacedAt of the last minute, for the queries that find the token; nil for none
	// generation changes when the tokens are forgotten: an attempt that began before must
	// not put one of them into a slot again.
	generation uint32
	running    int32 // attempts, also those that no caller can join any more
}

// slot is the place of one query's access token. Token sources keep a pointer to their
// slot, so that a valid token costs them one atomic load. A slot that was removed stays
// empty, and its sources look up the query's new slot.
type slot struct {
	record *tableRecord
	id     queryID
	token  atomic.Pointer[heldToken]
	// Guarded by the shard's mu.
	leaves   time.Time     // from this time on, nothing is lost if the slot is removed
	failures *slotFailures // nil for none
}

func (s *slot) identity() queryID { return s.id }

// queryID is a tokencache.Query as a map key. Sources that can't refresh have ids of their
// own. Otherwise sources that can refresh would get their failures.
type queryID struct {
	username, homeAccountID, clientID, environment, tenant, scopes string
	app, passive                                                   bool
}

func idOf(q tokencache.Query, f RefreshFunc) queryID {
	return queryID{q.Username, q.HomeAccountID, q.ClientID, q.Environment, q.Tenant, strings.Join(q.Scopes, " "), q.App, f == nil}
}

func (t *tokenTable) init(s *Store) {
	t.store = s
	t.window, t.jitter = 5*time.Minute, time.Minute
	t.limit = 10_000
	t.seed = maphash.MakeSeed()
}

func (t *tokenTable) shardOf(key string) *tableShard {
	return &t.shards[maphash.String(t.seed, key)%uint64(len(t.shards))]
}

// slotOf returns the slot of a query, or nil.
func (t *tokenTable) slotOf(key string, id *queryID) *slot {
	shard := t.shardOf(key)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if r := shard.records[key]; r != nil {
		return r.slots.get(id)
	}
	return nil
}

// record returns the tableRecord of a key, and makes a missing one. The caller holds the
// shard's mu.
func (shard *tableShard) record(key string) *tableRecord {
	r := shard.records[key]
	if r == nil {
		r = &tableRecord{key: key, shard: shard}
		if shard.records == nil {
			shard.records = make(map[string]*tableRecord)
		}
		shard.records[key] = r
	}
	return r
}

// slot returns the slot of a query, makes a missing one, and sets its time to leave. The
// caller holds the shard's mu, and calls sweep afterwards.
func (t *tokenTable) slot(r *tableRecord, id *queryID, leaves time.Time) *slot {
	s := r.slots.get(id)
	if s == nil {
		s = &slot{record: r, id: *id}
		r.slots.add(s)
		t.slots.Add(1)
	}
	s.leaves = leaves
	return s
}

// noteReplacement notes that t replaced a refused token, or finds out that t did so for
// another query. The caller holds the shard's mu.
func (r *tableRecord) noteReplacement(t *heldToken, now time.Time) {
	if t.replacedAt == 0 {
		t.replacedAt = r.replaced[t.token.Secret]
		return
	}
	maps.DeleteFunc(r.replaced, func(_ tokencache.Secret, at int64) bool { return now.Sub(time.Unix(0, at)) >= replacementTime })
	if r.replaced == nil {
		r.replaced = make(map[tokencache.Secret]int64)
	}
	r.replaced[t.token.Secret] = t.replacedAt
}

// remove removes a slot from its record. The caller holds the shard's mu.
func (t *tokenTable) remove(s *slot) {
	if !s.record.slots.remove(s) {
		return
	}
	s.token.Store(nil)
	t.slots.Add(-1)
	s.record.dropIfEmpty()
}

func (r *tableRecord) dropIfEmpty() {
	if r.slots.empty() && r.running == 0 && r.shard.records[r.key] == r {
		delete(r.shard.records, r.key)
	}
}

// forget removes a record's tokens from the table, because the application has changed the
// record: their user may have signed out. A later call joins no attempt that may have read
// the record before the change.
func (t *tokenTable) forget(key string) {
	shard := t.shardOf(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	r := shard.records[key]
	if r == nil {
		return
	}
	r.generation++
	r.attempts = index[attemptID, *attempt]{}
	for _, s := range r.slots.all() {
		t.remove(s)
	}
}

// sweep keeps the number of slots within the limit. It removes the slots with the earliest
// time to leave, but never the newest slot, which is about to be used. It removes a few
// more than it has to, so that it runs rarely.
func (t *tokenTable) sweep(newest *slot) {
	if t.slots.Load() <= int64(t.limit) || !t.sweeping.TryLock() {
		return
	}
	defer t.sweeping.Unlock()
	type candidate struct {
		slot   *slot
		leaves time.Time
	}
	var all []candidate
	for i := range t.shards {
		shard := &t.shards[i]
		shard.mu.RLock()
		for _, r := range shard.records {
			for _, s := range r.slots.all() {
				if s != newest {
					all = append(all, candidate{s, s.leaves})
				}
			}
		}
		shard.mu.RUnlock()
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(a.leaves.Compare(b.leaves), strings.Compare(a.slot.record.key, b.slot.record.key))
	})
	for _, c := range all[:min(len(all), max(len(all)+1-t.limit+t.limit/16, 0))] {
		shard := c.slot.record.shard
		shard.mu.Lock()
		t.remove(c.slot)
		shard.mu.Unlock()
	}
}

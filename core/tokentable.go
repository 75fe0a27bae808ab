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

// tokenTable is what a process keeps for its token sources: for each query of
// each record a slot with the access token that was found last, the attempts
// under way to get a better one, and what failed a moment ago. It asks its Store
// to read and to refresh records, and for nothing else.
type tokenTable struct {
	store          *Store
	window, jitter time.Duration // before its expiry, in which a token is refreshed
	maxStale       time.Duration
	limit          int // of slots

	obtained atomic.Uint64 // counts the tokens that came from the provider
	slots    atomic.Int64
	places   places
	sweeping sync.Mutex
	seed     maphash.Seed
	shards   [64]tableShard // so that sources on many processors don't queue for one lock
}

type tableShard struct {
	mu      sync.RWMutex
	records map[string]*tableRecord
}

// tableRecord is what the process knows of one record. It is guarded by its
// shard's mu, and lives as long as something is in it.
type tableRecord struct {
	key      string
	shard    *tableShard
	slots    index[queryID, *slot]
	attempts index[attemptID, *attempt]  // those that callers can join
	failures *recordFailures             // nil for none
	replaced map[tokencache.Secret]int64 // heldToken.replacedAt of the last minute, for the queries that find the token; nil for none
	// generation changes when the tokens are forgotten: an attempt that began
	// before must not bring one back.
	generation uint32
	running    int32 // attempts, also those that nobody can join any more
}

// slot is the place of one query's access token. Token sources keep a pointer to
// it, so that a valid token costs them one atomic load; a slot that left its
// record is empty for good, and they look up its successor.
type slot struct {
	record *tableRecord
	id     queryID
	token  atomic.Pointer[heldToken]
	// Guarded by the shard's mu.
	leaves   time.Time     // from when nobody misses it
	failures *slotFailures // nil for none
}

func (s *slot) identity() queryID { return s.id }

// queryID is a tokencache.Query as a map key. Sources that can't refresh are
// kept apart, or their failures would be those of the ones that can.
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

// slotOf returns the slot of a query, nil if there is none.
func (t *tokenTable) slotOf(key string, id *queryID) *slot {
	shard := t.shardOf(key)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if r := shard.records[key]; r != nil {
		return r.slots.get(id)
	}
	return nil
}

// record returns what is known of a record, made if need be. The shard's mu is
// held.
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

// slot returns the slot of a query, made if need be, to leave at the given time.
// The shard's mu is held; whoever calls sweeps afterwards.
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

// noteReplacement notes that t took the place of a refused token, or finds out that it
// did for another query. The shard's mu is held.
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

// remove takes a slot out of its record. The shard's mu is held.
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

// forget drops a record's tokens: the application changed it, and they may be
// signed out. Whoever asks from now on joins no attempt that may have read the
// record before.
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

// sweep keeps the number of slots within the limit: those that nobody misses
// soonest leave first, but for the newest, which is about to be used. It takes
// out a few more than it must, so that it is rarely needed.
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

package simulation

import (
	"strconv"
	"sync"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// records is the store that all processes share: what a server would keep.
type records struct {
	run *run

	mu      sync.Mutex
	stored  map[string]record
	counter int
	leases  leases
}

type record struct {
	data    core.Data
	version core.Version // core.Absent: nothing is stored
	cache   *tokencache.Cache
	before  *record // for a mutant
}

func (s *records) load(key string) (core.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.stored[key]
	if !ok {
		return core.Record{}, core.ErrNotFound
	}
	if s.run.mutant.LoadsTheLast && rec.before != nil && s.run.oneInTen(key) {
		rec = *rec.before
	}
	return core.Record{Data: append(core.Data(nil), rec.data...), Version: rec.version}, nil
}

func (s *records) save(p *process, key string, rec core.Record) (core.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.stored[key]
	if rec.Version != core.AnyVersion && rec.Version != before.version && !s.run.mutant.IgnoresVersions {
		return "", core.ErrConflict
	}
	cache, err := tokencache.Parse(rec.Data)
	if err != nil {
		return "", err
	}
	s.counter++
	after := record{data: append(core.Data(nil), rec.Data...), version: core.Version("v" + strconv.Itoa(s.counter)), cache: cache}
	if s.run.mutant.LosesSaves && s.run.oneInTen(key) {
		return after.version, nil
	}
	if s.run.mutant.LoadsTheLast && before.cache != nil {
		before.before, after.before = nil, &before
	}
	s.stored[key] = after
	s.run.checkStored(p, key, before.cache, cache)
	s.leases.wake(key)
	return after.version, nil
}

func (s *records) check(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.stored[key]
	return ok
}

func (s *records) delete(p *process, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run.mutant.KeepsDeleted {
		return
	}
	before := s.stored[key]
	delete(s.stored, key)
	s.run.checkStored(p, key, before.cache, nil)
	s.leases.wake(key)
}

func (s *records) version(key string) core.Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[key].version
}

// cache is what is stored under key, nil for nothing.
func (s *records) cache(key string) *tokencache.Cache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[key].cache
}

package filesystem

import (
	"sync"
	"time"
)

// sightings tell for how long this Backend has seen the same holder in a file. If the system
// doesn't tell that a holder died, and the clocks of several machines may differ, nothing
// else shows that a holder is dead.
type sightings struct {
	mu sync.Mutex
	of map[string]sighting // by path
}

type sighting struct {
	holder string
	since  time.Duration
}

// maxSightings limits the number of sightings. If one is forgotten, its time begins again.
const maxSightings = 1000

// age returns how long before now, by a clock that nobody sets, the holder was first seen
// in the file.
func (s *sightings) age(path, holder string, now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := s.of[path]
	if !ok || first.holder != holder {
		if s.of == nil || len(s.of) >= maxSightings {
			s.of = make(map[string]sighting)
		}
		first = sighting{holder, now}
		s.of[path] = first
	}
	return now - first.since
}

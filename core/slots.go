package core

import (
	"maps"
	"slices"
)

// slots are those of one record, by query. Most records have a query or two, for
// which a list takes a tenth of a map's memory.
type slots struct {
	few  []*slot
	many map[queryID]*slot // instead of few
}

const fewSlots = 16

func (s *slots) get(id *queryID) *slot {
	if s.many != nil {
		return s.many[*id]
	}
	for _, one := range s.few {
		if one.id == *id {
			return one
		}
	}
	return nil
}

// add takes in a slot whose query has none.
func (s *slots) add(one *slot) {
	if s.many == nil && len(s.few) < fewSlots {
		s.few = append(s.few, one)
		return
	}
	if s.many == nil {
		s.many = make(map[queryID]*slot, 2*fewSlots)
		for _, old := range s.few {
			s.many[old.id] = old
		}
		s.few = nil
	}
	s.many[one.id] = one
}

// remove takes out a slot, and reports whether it was there.
func (s *slots) remove(one *slot) bool {
	if s.get(&one.id) != one {
		return false
	}
	delete(s.many, one.id)
	s.few = slices.DeleteFunc(s.few, func(other *slot) bool { return other == one })
	return true
}

func (s *slots) empty() bool { return len(s.few) == 0 && len(s.many) == 0 }

// all returns the slots as they are now.
func (s *slots) all() []*slot {
	return slices.AppendSeq(slices.Clone(s.few), maps.Values(s.many))
}

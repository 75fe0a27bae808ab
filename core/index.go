package core

import (
	"maps"
	"slices"
)

// index finds the values of one record by their id. Most records have one query or two, and
// one attempt at most. For so few values, a list takes a tenth of a map's memory. The zero
// value is empty.
type index[K comparable, V indexed[K]] struct {
	few  []V
	many map[K]V // replaces few, if there are more values
}

// indexed is a pointer to a value that has an id, which never changes.
type indexed[K comparable] interface {
	comparable
	identity() K
}

const fewValues = 16

// get returns the value with this id, or nil.
func (x *index[K, V]) get(id *K) V {
	if x.many != nil {
		return x.many[*id]
	}
	for _, one := range x.few {
		if one.identity() == *id {
			return one
		}
	}
	var none V
	return none
}

// add adds a value whose id isn't there yet.
func (x *index[K, V]) add(one V) {
	if x.many == nil && len(x.few) < fewValues {
		x.few = append(x.few, one)
		return
	}
	if x.many == nil {
		x.many = make(map[K]V, 2*fewValues)
		for _, old := range x.few {
			x.many[old.identity()] = old
		}
		x.few = nil
	}
	x.many[one.identity()] = one
}

// remove removes a value, and reports whether it was there.
func (x *index[K, V]) remove(one V) bool {
	id := one.identity()
	if x.get(&id) != one {
		return false
	}
	delete(x.many, id)
	if x.few = slices.DeleteFunc(x.few, func(other V) bool { return other == one }); len(x.few) == 0 {
		x.few = nil
	}
	if len(x.many) == 0 {
		x.many = nil
	}
	return true
}

func (x *index[K, V]) empty() bool { return len(x.few) == 0 && len(x.many) == 0 }

// all returns all values. Later changes don't affect the result.
func (x *index[K, V]) all() []V {
	return slices.AppendSeq(slices.Clone(x.few), maps.Values(x.many))
}

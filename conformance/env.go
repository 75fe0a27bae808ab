package conformance

import (
	"reflect"
	"time"
)

// The interfaces below are what an [Env] may offer besides Open. The suite also takes the
// same methods with a T before the other parameters, or with an error after the other
// results. A method with the right name and any other shape fails the cases that need it,
// because otherwise it would be ignored.

// Corrupter damages a record without the backend's knowledge, as a crash in the middle of
// another program's write would: it leaves the stored value empty, cut short or
// overwritten with garbage.
type Corrupter interface {
	Corrupt(key string)
}

// Rawer returns what the store itself has of a record's data, byte by byte, as another
// program that reads the same place would see it; nil if there is nothing.
type Rawer interface {
	Raw(key string) []byte
}

// Advancer moves the clock by which the store's leases expire. Without it, the suite lets
// short leases expire in real time.
type Advancer interface {
	Advance(d time.Duration)
}

// Failer makes the store unreachable: the next n operations fail as in an outage, for all
// handles. If n is negative, all fail; after Fail(0), none. The stored records stay as
// they are.
type Failer interface {
	Fail(n int)
}

// tools are an Env's optional methods, each in one shape; nil if the Env doesn't have it.
type tools struct {
	corrupt func(key string)
	raw     func(key string) []byte
	advance func(d time.Duration)
	fail    func(n int)
}

func toolsOf(t T, env Env) tools {
	var k tools
	no := func(err error) {
		if err != nil {
			t.Fatalf("the harness: %v", err)
		}
	}
	switch e := env.(type) {
	case Corrupter:
		k.corrupt = e.Corrupt
	case interface{ Corrupt(T, string) }:
		k.corrupt = func(key string) { e.Corrupt(t, key) }
	case interface{ Corrupt(string) error }:
		k.corrupt = func(key string) { no(e.Corrupt(key)) }
	default:
		refuse(t, env, "Corrupt")
	}
	switch e := env.(type) {
	case Rawer:
		k.raw = e.Raw
	case interface{ Raw(T, string) []byte }:
		k.raw = func(key string) []byte { return e.Raw(t, key) }
	case interface{ Raw(string) ([]byte, error) }:
		k.raw = func(key string) []byte { data, err := e.Raw(key); no(err); return data }
	default:
		refuse(t, env, "Raw")
	}
	switch e := env.(type) {
	case Advancer:
		k.advance = e.Advance
	case interface{ Advance(T, time.Duration) }:
		k.advance = func(d time.Duration) { e.Advance(t, d) }
	case interface{ Advance(time.Duration) error }:
		k.advance = func(d time.Duration) { no(e.Advance(d)) }
	default:
		refuse(t, env, "Advance")
	}
	switch e := env.(type) {
	case Failer:
		k.fail = e.Fail
	case interface{ Fail(T, int) }:
		k.fail = func(n int) { e.Fail(t, n) }
	case interface{ Fail(int) error }:
		k.fail = func(n int) { no(e.Fail(n)) }
	default:
		refuse(t, env, "Fail")
	}
	return k
}

// refuse fails the case if v, which comes from the harness, has a method of that name.
func refuse(t T, v any, method string) {
	if m := reflect.ValueOf(v).MethodByName(method); m.IsValid() {
		t.Fatalf("the harness's %T has a method %s that the suite can't call: it is a %v", v, method, m.Type())
	}
}

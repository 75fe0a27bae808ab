package conformance

import (
	"reflect"
	"time"
)

// The interfaces below are what an [Env] may offer besides Open. The suite
// also takes the same methods with a T before the other parameters, or with an
// error behind the other results; a method of the right name and any other
// shape fails the cases that need it, since it would be passed over otherwise.

// Corrupter damages a record behind the backend's back, as a crash in the
// middle of a foreign program's write would: it leaves the stored value empty,
// cut short or overwritten with garbage.
type Corrupter interface {
	Corrupt(key string)
}

// Rawer shows what the store itself holds of a record's data, byte by byte,
// as another program reading the same place would see it; nil if there is
// nothing.
type Rawer interface {
	Raw(key string) []byte
}

// Advancer moves the clock by which the store's leases expire. Without it the
// suite lets short leases expire in real time.
type Advancer interface {
	Advance(d time.Duration)
}

// Failer makes the store unreachable: the next n operations fail as in an
// outage, for all handles; all of them, if n is negative; none any more after
// Fail(0). What the store holds stays as it is.
type Failer interface {
	Fail(n int)
}

// tools are an Env's optional methods in one shape each; nil where the Env
// has none.
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

// refuse fails the case if v, the harness's, has a method of that name.
func refuse(t T, v any, method string) {
	if m := reflect.ValueOf(v).MethodByName(method); m.IsValid() {
		t.Fatalf("the harness's %T has a method %s that the suite can't call: it is a %v", v, method, m.Type())
	}
}

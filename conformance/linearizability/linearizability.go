// Package linearizability checks that a backend is linearizable: when several clients use
// a store at the same time, every operation seems to take effect at one moment between
// its call and its return. The cases of package conformance check that by name; this
// package checks it by search. It is a module of its own because of its checker,
// porcupine.
//
//	func TestLinearizable(t *testing.T) {
//		linearizability.Run(t, harness)
//	}
//
//	func FuzzLinearizable(f *testing.F) {
//		linearizability.Fuzz(f, harness)
//	}
//
// It is for backends that claim conformance.CASEnforced. Others don't promise
// linearizability.
package linearizability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

// The clients of a run, on two handles, and the keys that they use together.
const clients = 4

var keys = []string{"ana", "Ana"}

// Run plays random scripts against stores of the harness, for two seconds and
// at least three times.
func Run(t *testing.T, h conformance.Harness) {
	t.Helper()
	claims(t, h)
	random := rand.New(rand.NewPCG(3, 2))
	begun := time.Now()
	for round := 0; round < 3 || time.Since(begun) < 2*time.Second; round++ {
		script := make([]byte, clients*12)
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		if err := play(t, h, script); err != nil {
			t.Fatal(err)
		}
	}
}

// Fuzz lets the fuzzer write the scripts.
func Fuzz(f *testing.F, h conformance.Harness) {
	f.Helper()
	claims(f, h)
	f.Add([]byte("everybody creates, and everybody loads what came of it"))
	f.Add(slices.Repeat([]byte{0x30, 0x00, 0x20}, 12))       // create, load, replace
	f.Add(slices.Repeat([]byte{0x20, 0x40, 0x30, 0x00}, 10)) // replace, delete, create, load
	f.Add(slices.Repeat([]byte{0x10, 0x00}, 20))             // overwrite, load
	f.Fuzz(func(t *testing.T, script []byte) {
		if err := play(t, h, script[:min(len(script), 80)]); err != nil {
			t.Fatal(err)
		}
	})
}

func claims(t testing.TB, h conformance.Harness) {
	if h.Want.CAS != conformance.CASEnforced {
		t.Skip("the backend does not claim CASEnforced")
	}
}

// play gives the script to the clients, a byte to each in turn, and checks the history.
func play(t *testing.T, h conformance.Harness, script []byte) error {
	t.Helper()
	env := h.New(t)
	handles := []core.TokenBackend{env.Open(t), env.Open(t)}
	begun := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var wrong []error
	var running sync.WaitGroup
	for id := range clients {
		c := &client{backend: handles[id%len(handles)], id: id, seen: map[string]core.Version{}}
		running.Go(func() {
			for i := id; i < len(script); i += clients {
				in := c.choose(script[i], i)
				call := time.Since(begun)
				out, err := c.do(unsteady{t.Context()}, in)
				back := time.Since(begun)
				mu.Lock()
				if err != nil {
					wrong = append(wrong, fmt.Errorf("%s: %w", describe(in, out), err))
				}
				history = append(history, porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out, Return: int64(back)})
				mu.Unlock()
			}
		})
	}
	running.Wait()
	if wrong != nil {
		return errors.Join(wrong...)
	}
	switch porcupine.CheckOperationsTimeout(model, history, 20*time.Second) {
	case porcupine.Illegal:
		return fmt.Errorf("no order explains what the clients saw:%s", listing(history))
	case porcupine.Unknown:
		t.Logf("a history of %d operations was too long to check", len(history))
	}
	return nil
}

type operation uint8

const (
	load operation = iota
	check
	save
	remove
)

type input struct {
	op      operation
	key     string
	data    string       // save's
	version core.Version // save's
}

type output struct {
	present  bool // load's, check's
	data     string
	version  core.Version // load's, save's
	conflict bool         // save's
}

// client is one of the clients. It saves with the versions that it has seen, which others
// may have replaced.
type client struct {
	backend core.TokenBackend
	id      int
	seen    map[string]core.Version
}

func (c *client) choose(step byte, i int) input {
	in := input{key: keys[int(step)%len(keys)], data: fmt.Sprintf("client %d, step %d", c.id, i), version: core.AnyVersion}
	switch step >> 4 {
	case 0, 5, 6, 7:
		in.op = load
	case 1:
		in.op = save
	case 2, 8, 9, 10, 11:
		in.op = save
		if v, ok := c.seen[in.key]; ok {
			in.version = v
		}
	case 3, 12:
		in.op, in.version = save, core.Absent
	case 4, 13:
		in.op = remove
	default:
		in.op = check
	}
	return in
}

// do returns an error only for a result that the contract doesn't allow here.
func (c *client) do(ctx context.Context, in input) (out output, err error) {
	switch in.op {
	case load:
		rec, err := c.backend.Load(ctx, in.key)
		if errors.Is(err, core.ErrNotFound) {
			c.seen[in.key] = core.Absent
			return output{}, nil
		}
		c.seen[in.key] = rec.Version
		return output{present: true, data: string(rec.Data), version: rec.Version}, err
	case check:
		ok, err := c.backend.Check(ctx, in.key)
		return output{present: ok}, err
	case save:
		v, err := c.backend.Save(ctx, in.key, core.Record{Data: []byte(in.data), Version: in.version})
		if errors.Is(err, core.ErrConflict) && in.version != core.AnyVersion {
			return output{conflict: true}, nil
		}
		c.seen[in.key] = v
		return output{version: v}, err
	default:
		return output{}, c.backend.Delete(ctx, in.key)
	}
}

// state is what is stored under one key.
type state struct {
	present bool
	data    string
	version core.Version
}

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, len(keys))
		for _, o := range history {
			i := slices.Index(keys, o.Input.(input).key)
			parts[i] = append(parts[i], o)
		}
		return parts
	},
	Init:              func() any { return state{} },
	Step:              func(before, in, out any) (bool, any) { return step(before.(state), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
}

func step(s state, in input, out output) (bool, state) {
	switch in.op {
	case load:
		return out == output{present: s.present, data: s.data, version: s.version}, s
	case check:
		return out.present == s.present, s
	case save:
		allowed := in.version == core.AnyVersion || in.version == core.Absent && !s.present || s.present && in.version == s.version
		if out.conflict {
			return !allowed, s
		}
		return allowed, state{present: true, data: in.data, version: out.version}
	default:
		return true, state{}
	}
}

func describe(in input, out output) string {
	switch in.op {
	case load:
		return fmt.Sprintf("Load(%q) = %q, version %q", in.key, out.data, out.version)
	case check:
		return fmt.Sprintf("Check(%q) = %v", in.key, out.present)
	case save:
		if out.conflict {
			return fmt.Sprintf("Save(%q, %q) with version %q = ErrConflict", in.key, in.data, in.version)
		}
		return fmt.Sprintf("Save(%q, %q) with version %q = version %q", in.key, in.data, in.version, out.version)
	default:
		return fmt.Sprintf("Delete(%q)", in.key)
	}
}

// listing shows a history in the order of its calls.
func listing(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	text := ""
	for _, o := range history {
		text += fmt.Sprintf("\n\t%9v to %9v, client %d: %s", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, describe(o.Input.(input), o.Output.(output)))
	}
	return text
}

// unsteady is a context that delays its caller now and then when asked whether it is
// done, so that other clients get their turn between the steps of an operation.
type unsteady struct{ context.Context }

func (u unsteady) Err() error {
	switch rand.IntN(4) {
	case 0:
		runtime.Gosched()
	case 1:
		time.Sleep(rand.N(50 * time.Microsecond))
	}
	return u.Context.Err()
}

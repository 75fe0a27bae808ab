package storm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/workers"
)

// taskVariable makes a process a worker.
const taskVariable = "GRAPHTOKEN_STORM_TASK"

// task is what a worker must know.
type task struct {
	Options
	Where    json.RawMessage // the store, as Work's open understands it
	Number   int             // of the process
	Provider string          // its address
}

// report is what a worker says at its end.
type report struct {
	Failed    int
	Errors    map[string]int
	Calls     map[string]int64
	Processor time.Duration
	PeakMB    int
}

// Work makes this process a worker, if it was started as one, and then ends it.
// Otherwise it returns at once:
//
//	func TestMain(m *testing.M) {
//		storm.Work(func(addr string) (core.TokenBackend, error) { … })
//		os.Exit(m.Run())
//	}
//
// open reaches the store at what RunProcesses was told; it went through JSON.
func Work[W any](open func(where W) (core.TokenBackend, error)) {
	workers.Work(taskVariable, func(given string) error { return work(given, open, os.Stdin, os.Stdout) })
}

func work[W any](given string, open func(W) (core.TokenBackend, error), in io.Reader, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(given), &t); err != nil {
		return err
	}
	backend, err := workers.Open(t.Where, open)
	if err != nil {
		return err
	}
	counts := newCounts()
	s := core.NewStore(counts.over(backend), core.WithLeaseTTL(t.LeaseTTL))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	c := gather([]*core.Store{s}, t.Options, t.Number, Remote(client, t.Provider))
	fmt.Fprintln(out, "ready")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	watch, used := watchMemory(), processorTime()
	c.ask()
	r := report{Failed: c.failed, Errors: c.errors, Calls: counts.all(), Processor: processorTime() - used, PeakMB: watch()}
	return json.NewEncoder(out).Encode(r)
}

// RunProcesses is Run with as many processes as o.Stores says, each with one store.
// They are the test's own binary, run again; see Work. open opens the store here,
// to sign the users in.
func RunProcesses[W any](t testing.TB, o Options, where W, open func(where W) (core.TokenBackend, error)) Result {
	t.Helper()
	p := NewProvider()
	backend, err := open(where)
	if err != nil {
		t.Fatal(err)
	}
	SignIn(t, p, backend, o)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	place, err := json.Marshal(where)
	if err != nil {
		t.Fatal(err)
	}
	var started []*workers.Worker
	for n := range o.Stores {
		given, err := json.Marshal(task{Options: o, Where: place, Number: n, Provider: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, workers.Start(t, taskVariable, string(given)))
	}
	for _, w := range started {
		w.Line(t) // it is ready
	}
	r := Result{Ideal: Ideal(o.Users), Errors: make(map[string]int), Calls: make(map[string]int64)}
	began := time.Now()
	for _, w := range started {
		w.Tell(t, "go")
	}
	for _, w := range started {
		var said report
		if err := json.Unmarshal([]byte(w.Line(t)), &said); err != nil {
			t.Fatal(err)
		}
		r.Failed += said.Failed
		r.Processor += said.Processor
		r.PeakMB = max(r.PeakMB, said.PeakMB)
		for text, n := range said.Errors {
			r.Errors[text] += n
		}
		for op, n := range said.Calls {
			r.Calls[op] += n
		}
	}
	r.Wall = time.Since(began)
	r.Refreshes, r.Spent = p.Refreshes()
	return r
}

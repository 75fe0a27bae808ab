package firestore_test

import (
	"context"
	"os"
	"path"
	"slices"
	"sync"
	"testing"

	gcp "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

// wire stands between a client and its server: it writes down what is called,
// and makes it go wrong.
type wire struct {
	mu     sync.Mutex
	calls  []string // names of the service's methods
	writes []*pb.Write
	open   int // listeners
	faults faults
}

// faults are what goes wrong. Each may be nil, and answers nil to let a call
// pass; it is called with the method's name.
type faults struct {
	before func(method string) error // instead of the call
	after  func(method string) error // instead of its answer
	cut    func(method string) error // instead of a stream's next message
}

// inject replaces the faults.
func (w *wire) inject(f faults) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = f
}

// faulty is the error, if any, that one of the faults makes of a call.
func (w *wire) faulty(which func(faults) func(string) error, method string) error {
	w.mu.Lock()
	f := which(w.faults)
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(method)
}

func before(f faults) func(string) error { return f.before }
func after(f faults) func(string) error  { return f.after }
func cut(f faults) func(string) error    { return f.cut }

func (w *wire) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(w.unary), grpc.WithChainStreamInterceptor(w.stream)}
}

// take returns what was called since it was asked last.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// count is how often a method was called since take.
func (w *wire) count(method string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, call := range w.calls {
		if call == method {
			n++
		}
	}
	return n
}

func (w *wire) listeners() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

// untilWaiting returns when a waiter's two listeners have begun, and the waiter has
// looked at the record since take.
func (w *wire) untilWaiting(t testing.TB) {
	t.Helper()
	testkit.Until(t, "the waiter listens to the record and to its lease", func() bool { return w.listeners() >= 2 })
	testkit.Until(t, "the waiter looks", func() bool { return w.count("BatchGetDocuments") > 0 })
}

func (w *wire) record(fullMethod string, req any) (method string, err error) {
	method = path.Base(fullMethod)
	w.mu.Lock()
	w.calls = append(w.calls, method)
	if commit, ok := req.(*pb.CommitRequest); ok {
		w.writes = append(w.writes, commit.Writes...)
	}
	w.mu.Unlock()
	return method, w.faulty(before, method)
}

func (w *wire) unary(ctx context.Context, full string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	method, err := w.record(full, req)
	if err != nil {
		return err
	}
	err = invoke(ctx, full, req, reply, cc, opts...)
	if err == nil {
		err = w.faulty(after, method)
	}
	return err
}

func (w *wire) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, full string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	method, err := w.record(full, nil)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, desc, cc, full, opts...)
	if err == nil && method == "Listen" {
		w.mu.Lock()
		w.open++
		w.mu.Unlock()
		context.AfterFunc(s.Context(), func() {
			w.mu.Lock()
			w.open--
			w.mu.Unlock()
		})
	}
	return &cutStream{s, w, method}, err
}

type cutStream struct {
	grpc.ClientStream
	wire   *wire
	method string
}

func (s *cutStream) RecvMsg(m any) error {
	if err := s.wire.faulty(cut, s.method); err != nil {
		return err
	}
	return s.ClientStream.RecvMsg(m)
}

// once is a fault that happens to the next call of one of these methods.
func once(err error, methods ...string) func(string) error { return times(1, err, methods...) }

// times is a fault that happens to the next n of them, to all if n is negative.
func times(n int, err error, methods ...string) func(string) error {
	var mu sync.Mutex
	return func(method string) error {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || !slices.Contains(methods, method) {
			return nil
		}
		n--
		return err
	}
}

// emulator is for all tests.
var emulator = testkit.Shared[*firestoretest.Server]{Start: firestoretest.Emulator}

// beWorker ends a process that was started as a worker.
var beWorker = func() {}

func TestMain(m *testing.M) {
	beWorker()
	code := m.Run()
	emulator.End()
	os.Exit(code)
}

// onBoth runs a test on the double and on the emulator.
func onBoth(t *testing.T, test func(t *testing.T, s *firestoretest.Server)) {
	t.Run("double", func(t *testing.T) { test(t, firestoretest.Double(t)) })
	t.Run("emulator", func(t *testing.T) { test(t, emulator.Get(t)) })
}

// open returns a backend on a collection of the test's own, with what goes over
// its wire.
func open(t testing.TB, s *firestoretest.Server, o firestore.Options) (*firestore.Backend, *gcp.CollectionRef, *wire) {
	t.Helper()
	w := new(wire)
	client := s.Client(t, "", w.options()...)
	b, err := firestore.New(client, collection(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return b, s.Client(t, "").Collection(collection(t)), w
}

func save(t testing.TB, b core.TokenBackend, key, data string, known core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantRecord expects what Load answers.
func wantRecord(t testing.TB, b core.TokenBackend, key, data string, v core.Version) {
	t.Helper()
	if rec, err := b.Load(t.Context(), key); err != nil || string(rec.Data) != data || rec.Version != v {
		t.Errorf("Load = %q of version %q, %v; want %q of %q", rec.Data, rec.Version, err, data, v)
	}
}

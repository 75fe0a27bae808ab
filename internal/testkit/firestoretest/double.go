package firestoretest

import (
	"math"
	"net"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Double starts the double: an imitation of Firestore that the client libraries
// for Go and Python accept. It reads and writes documents one by one or in
// batches, with masks, preconditions and server timestamps; lists a collection in
// the order of ids; and listens to documents. It has the server's limits of
// sizes and names. Transactions, filters, other orders, nested field paths and
// security rules it hasn't, and says so (Unimplemented).
func Double(t testing.TB) *Server {
	t.Helper()
	d := &double{documents: make(map[string]*pb.Document), changed: make(chan struct{})}
	s := &Server{Addr: "127.0.0.1:0", double: d}
	s.Start(t)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// Advance moves the clock of a double, by which documents are stamped.
func (s *Server) Advance(by time.Duration) {
	s.double.mu.Lock()
	defer s.double.mu.Unlock()
	s.double.ahead += by
}

// Stop makes a double unreachable; what it holds stays. Calls and streams under
// way are cut.
func (s *Server) Stop(t testkit.TB) {
	t.Helper()
	if s.double.server != nil {
		s.double.server.Stop()
		s.double.server = nil
	}
}

// Start lets a double that was stopped be reached again, at its address.
func (s *Server) Start(t testkit.TB) {
	t.Helper()
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatalf("firestoretest: %v", err)
	}
	s.Addr = l.Addr().String()
	s.double.server = grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32))
	pb.RegisterFirestoreServer(s.double.server, s.double)
	go s.double.server.Serve(l)
}

// double is what a Firestore holds. Documents are never changed: a write puts a
// new one in place.
type double struct {
	pb.UnimplementedFirestoreServer
	server *grpc.Server

	mu        sync.Mutex
	documents map[string]*pb.Document // by name
	ahead     time.Duration           // of this machine's clock
	last      time.Time               // when something was written
	changed   chan struct{}           // closed at the next change
}

// now is the server's clock, which keeps microseconds and doesn't go back. It is
// called with mu held.
func (d *double) now() time.Time {
	now := time.Now().Add(d.ahead).Truncate(time.Microsecond)
	if now.Before(d.last) {
		now = d.last
	}
	return now
}

func (d *double) readTime() *timestamppb.Timestamp { return timestamppb.New(d.now()) }

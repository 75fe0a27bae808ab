package firestore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	gcp "cloud.google.com/go/firestore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("double", func(t *testing.T) {
		t.Parallel()
		server := firestoretest.Double(t)
		conform(t, func(t conformance.T) conformance.Env { return advanced{newStore(t, dialed(server), "tokens"), server} })
	})
	t.Run("double, five minutes ahead, whole documents, native names", func(t *testing.T) {
		t.Parallel()
		server := firestoretest.Double(t)
		server.Advance(5 * time.Minute)
		conform(t, func(t conformance.T) conformance.Env {
			s := newStore(t, dialed(server), "tokens")
			s.options.DeleteDocuments, s.options.NativeNames = true, true
			return advanced{s, server}
		})
	})
	t.Run("emulator", func(t *testing.T) {
		t.Parallel()
		server := emulator.Get(t)
		conform(t, func(t conformance.T) conformance.Env { return newStore(t, dialed(server), "tokens") })
	})
}

func conform(t *testing.T, open func(conformance.T) conformance.Env) {
	conformance.Run(t, conformance.Harness{
		New: open,
		Want: conformance.Capabilities{
			CAS:          conformance.CASEnforced,
			Coordinates:  true,
			Lease:        true,
			LeaseExpires: true,
			Watch:        true,
			List:         true,
			Ping:         true,
			MaxSize:      1_040_384,
		},
	})
}

// store is a prefix nobody else uses.
type store struct {
	connect func(t conformance.T, more ...grpc.DialOption) *gcp.Client
	options firestore.Options
	name    string // of the collection
	behind  *gcp.CollectionRef
	failing atomic.Int64
}

func newStore(t conformance.T, connect func(conformance.T, ...grpc.DialOption) *gcp.Client, collection string) *store {
	return &store{
		connect: connect,
		options: firestore.Options{Prefix: rand.Text() + "."},
		name:    collection,
		behind:  connect(t).Collection(collection),
	}
}

func dialed(server *firestoretest.Server) func(conformance.T, ...grpc.DialOption) *gcp.Client {
	return func(t conformance.T, more ...grpc.DialOption) *gcp.Client {
		client, err := firestoretest.Connect(t.Context(), server.Addr, "", more...)
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	fail := func(ctx context.Context) error {
		if s.fails() {
			return errOutage
		}
		return nil
	}
	b, err := firestore.New(s.connect(t, instead(fail)...), s.name, s.options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s *store) Raw(key string) ([]byte, error) {
	found, err := s.behind.Doc(s.options.Prefix + key).Get(context.Background())
	if status.Code(err) == codes.NotFound {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	switch value := found.Data()["token"].(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(value), nil
	case []byte:
		return value, nil
	}
	return nil, errors.New("the field is neither a string nor bytes")
}

func (s *store) Corrupt(key string) error {
	_, err := s.behind.Doc(s.options.Prefix+key).Set(context.Background(), map[string]any{"token": 42})
	return err
}

func (s *store) Fail(n int) { s.failing.Store(int64(n)) }

// errOutage is of a kind that the client doesn't try again: it would until the
// context ends.
var errOutage = status.Error(codes.Unknown, "an outage for the test")

func (s *store) fails() bool {
	for {
		switch n := s.failing.Load(); {
		case n < 0:
			return true
		case n == 0:
			return false
		case s.failing.CompareAndSwap(n, n-1):
			return true
		}
	}
}

// instead has every call begin with f, whose error is its answer.
func instead(f func(ctx context.Context) error) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if err := f(ctx); err != nil {
				return err
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if err := f(ctx); err != nil {
				return nil, err
			}
			return open(ctx, desc, cc, method, opts...)
		}),
	}
}

// advanced is a store whose clock goes when it is told.
type advanced struct {
	*store
	server *firestoretest.Server
}

func (a advanced) Advance(d time.Duration) { a.server.Advance(d) }

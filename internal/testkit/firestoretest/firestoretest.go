// Package firestoretest runs Firestore servers for a test: the official emulator, if
// it is installed, and a double in the test's own process, which is always available.
//
//	server := firestoretest.Double(t) // or Emulator(t)
//	client := server.Client(t, "")
//
// Both listen on a free port of 127.0.0.1, so that other processes reach them
// ([Connect], or FIRESTORE_EMULATOR_HOST, which every client library reads), keep
// everything in memory, and end with the test. Every project and every database
// exists. This package's test sends the same requests to both and compares the answers.
package firestoretest

import (
	"context"
	"math"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Project is the project that [Connect] and Client use.
const Project = "graphtoken-test"

// Connect returns a client of the server at addr. The database is the default
// one where it is empty. Interceptors go into more.
func Connect(ctx context.Context, addr, database string, more ...grpc.DialOption) (*firestore.Client, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(owner{}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	if database == "" {
		database = firestore.DefaultDatabaseID
	}
	client, err := firestore.NewClientWithDatabase(ctx, Project, database, option.WithGRPCConn(conn))
	if err != nil {
		conn.Close()
		return nil, err
	}
	return client, nil
}

// owner is whom the emulator lets do everything.
type owner struct{}

func (owner) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (owner) RequireTransportSecurity() bool { return false }

// Server is a running Firestore.
type Server struct {
	Addr string // host and port

	double *double // nil for the emulator
}

// Client returns a client of a database, the default one where it is empty. It
// is closed with the test.
func (s *Server) Client(t testkit.TB, database string, more ...grpc.DialOption) *firestore.Client {
	t.Helper()
	client, err := Connect(t.Context(), s.Addr, database, more...)
	if err != nil {
		t.Fatalf("firestoretest: %v", err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

package firestore_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	gcp "cloud.google.com/go/firestore"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"

	"github.com/graphtoken/graphtoken/conformance"
)

// The real service is used where GRAPHTOKEN_LIVE_FIRESTORE_PROJECT names a
// project, with the application default credentials and iam-role.yaml's
// permissions; in GRAPHTOKEN_LIVE_FIRESTORE_DATABASE, or the default database, and
// GRAPHTOKEN_LIVE_FIRESTORE_COLLECTION, or "graphtoken-test". Everything lies under
// prefixes of the test's own, and is deleted. It takes some thousand writes.
func TestConformanceOfTheService(t *testing.T) {
	project := os.Getenv("GRAPHTOKEN_LIVE_FIRESTORE_PROJECT")
	if project == "" {
		t.Skip("GRAPHTOKEN_LIVE_FIRESTORE_PROJECT names no project")
	}
	database := cmp.Or(os.Getenv("GRAPHTOKEN_LIVE_FIRESTORE_DATABASE"), gcp.DefaultDatabaseID)
	connect := func(t conformance.T, more ...grpc.DialOption) *gcp.Client {
		var options []option.ClientOption
		for _, o := range more {
			options = append(options, option.WithGRPCDialOption(o))
		}
		client, err := gcp.NewClientWithDatabase(t.Context(), project, database, options...)
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
	conform(t, func(t conformance.T) conformance.Env {
		s := newStore(t, connect, cmp.Or(os.Getenv("GRAPHTOKEN_LIVE_FIRESTORE_COLLECTION"), "graphtoken-test"))
		t.Cleanup(func() {
			if err := s.clear(); err != nil {
				t.Errorf("what is stored under %q is left: %v", s.options.Prefix, err)
			}
		})
		return s
	})
}

// clear deletes the store's documents, also those that are there for the sake of
// a lease alone.
func (s *store) clear() error {
	ctx := context.Background()
	documents := s.behind.DocumentRefs(ctx)
	for {
		doc, err := documents.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(doc.ID, s.options.Prefix) {
			continue
		}
		_, lease := doc.Collection("graphtoken_leases").Doc("token").Delete(ctx)
		_, record := doc.Delete(ctx)
		if err := errors.Join(lease, record); err != nil {
			return err
		}
	}
}

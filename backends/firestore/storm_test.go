package firestore_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// stores opens backends over one client, or each with a client of its own, as another
// process would.
func stores(t testing.TB, own bool) func() core.TokenBackend {
	double := firestoretest.Double(t)
	client := double.Client(t, "")
	return func() core.TokenBackend {
		if own {
			client = double.Client(t, "")
		}
		b, err := firestore.New(client, collection(t), firestore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestAStormRefreshesEachTokenOnce(t *testing.T) { storm.Clients(stores).Test(t) }

func BenchmarkStorm(b *testing.B) { storm.Clients(stores).Bench(b) }

func BenchmarkStormCalls(b *testing.B) { storm.Clients(stores).BenchCalls(b) }

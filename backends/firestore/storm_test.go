package firestore_test

import (
	"fmt"
	"testing"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

const stormUsers = min(storm.Users, 200)

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

func TestAStormRefreshesEachTokenOnce(t *testing.T) {
	for own, users := range map[bool]int{false: stormUsers, true: stormUsers / 4} {
		t.Run(fmt.Sprintf("a client each=%t", own), func(t *testing.T) {
			storm.Run(t, storm.Options{Users: users, Stores: 8, Shuffled: true}, stores(t, own)).Want(t, users)
		})
	}
}

func BenchmarkStorm(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("a client each=%t", own), func(b *testing.B) {
			storm.Bench(b, storm.Options{Users: stormUsers, Stores: 8}, func(t testing.TB) func() core.TokenBackend { return stores(t, own) })
		})
	}
}

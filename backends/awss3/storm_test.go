package awss3_test

import (
	"fmt"
	"testing"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// stormUsers are fewer than of other stores: Amazon takes some 3,500 writes a second below
// a prefix, and the servers here far fewer.
const stormUsers = min(storm.Users, 200)

// stores opens backends over one client, or each with a client of its own, as another
// process would.
func stores(t testing.TB, at place, own bool) func() core.TokenBackend {
	prefix, client := newPrefix(), at.connect()
	return func() core.TokenBackend {
		if own {
			client = at.connect()
		}
		b, err := awss3.New(client, at.bucket, awss3.Options{Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestAStormRefreshesEachTokenOnce(t *testing.T) {
	for name, start := range map[string]func(testing.TB) place{"in process": inProcess, "versitygw": onVersitygw} {
		for own, users := range map[bool]int{false: stormUsers, true: stormUsers / 4} {
			t.Run(fmt.Sprintf("%s/a client each=%t", name, own), func(t *testing.T) {
				storm.Run(t, storm.Options{Users: users, Stores: 8, Shuffled: true}, stores(t, start(t), own)).Want(t, users)
			})
		}
	}
}

func BenchmarkStorm(b *testing.B) {
	at := onVersitygw(b)
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("a client each=%t", own), func(b *testing.B) {
			storm.Bench(b, storm.Options{Users: stormUsers, Stores: 8}, func(t testing.TB) func() core.TokenBackend { return stores(t, at, own) })
		})
	}
}

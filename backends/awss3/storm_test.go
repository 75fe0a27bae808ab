package awss3_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

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
		t.Run(name, storm.Clients(func(t testing.TB, own bool) func() core.TokenBackend { return stores(t, start(t), own) }).Test)
	}
}

func BenchmarkStorm(b *testing.B) { versitygw(b).Bench(b) }

func BenchmarkStormCalls(b *testing.B) { versitygw(b).BenchCalls(b) }

func versitygw(b *testing.B) storm.Clients {
	at := onVersitygw(b)
	return func(t testing.TB, own bool) func() core.TokenBackend { return stores(t, at, own) }
}

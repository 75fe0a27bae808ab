package awssecrets_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// stores opens backends over one client, or each with a client of its own, as another
// process would.
func stores(t testing.TB, own bool) func() core.TokenBackend {
	double := secretstest.Start(t, secretstest.Options{})
	client := connect(double.URL, nil)
	return func() core.TokenBackend {
		if own {
			client = connect(double.URL, nil)
		}
		return on(t, client, awssecrets.Options{})
	}
}

func TestAStormRefreshesEachTokenOnce(t *testing.T) { storm.Clients(stores).Test(t) }

func BenchmarkStorm(b *testing.B) { storm.Clients(stores).Bench(b) }

func BenchmarkStormCalls(b *testing.B) { storm.Clients(stores).BenchCalls(b) }

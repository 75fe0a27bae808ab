//go:build unix

package awssecrets_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/processes"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

func TestMain(m *testing.M) {
	processes.Work(func(url string) (core.TokenBackend, error) {
		return awssecrets.New(connect(url, nil), awssecrets.Options{Prefix: "tokens/"})
	})
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // most of them wait: for leases to expire, for moto
	os.Exit(m.Run())
}

func TestManyProcesses(t *testing.T) {
	t.Parallel() // it waits for leases to expire
	double := secretstest.Start(t, secretstest.Options{})
	processes.Run(t, processes.Store{
		Where: double.URL,
		// A lease lasts a second longer than it was asked for, others wait two
		// more, and ask every four.
		LeaseTTL: 2 * time.Second,
		Slack:    8 * time.Second,
	})
}

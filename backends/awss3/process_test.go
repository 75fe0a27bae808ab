//go:build unix

package awss3_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/processes"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

// where is how workers reach a bucket.
type where struct{ URL, Bucket string }

func TestMain(m *testing.M) {
	processes.Work(func(w where) (core.TokenBackend, error) {
		return awss3.New(s3test.Client(w.URL), w.Bucket, awss3.Options{Prefix: "workers/"})
	})
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // most of them wait for leases to expire, not for a processor
	os.Exit(m.Run())
}

func TestManyProcesses(t *testing.T) {
	t.Parallel()
	gateway := s3test.Versitygw(t)
	processes.Run(t, processes.Store{
		Where: where{gateway.URL, s3test.Bucket(t, s3test.Client(gateway.URL))},
		// Dates are cut off to whole seconds, versitygw's are a second old at
		// times, and who waits looks every two.
		Slack:   5 * time.Second,
		Stop:    func(t *testing.T) { gateway.Stop(t) },
		Restart: func(t *testing.T) { gateway.Restart(t) },
	})
}

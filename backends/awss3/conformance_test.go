package awss3_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

// conform runs the suite. On a store that goes by the real clock leases expire
// by whole seconds, one or two after their ttl.
func conform(t *testing.T, at place) {
	conformance.Run(t, conformance.Harness{
		New: func(conformance.T) conformance.Env {
			s := &store{place: at, prefix: newPrefix(), behind: at.connect()}
			if at.double != nil {
				return advanced{s, at.double}
			}
			return s
		},
		Want:     everything,
		Name:     "awss3",
		LeaseTTL: time.Second,
	})
}

// advanced is a store whose clock goes when it is told.
type advanced struct {
	*store
	*s3test.Double
}

var everything = conformance.Capabilities{
	CAS:          conformance.CASEnforced,
	Coordinates:  true,
	Lease:        true,
	LeaseExpires: true,
	Watch:        true,
	List:         true,
	Ping:         true,
}

// store is a prefix nobody else uses, in a bucket that many use.
type store struct {
	place
	prefix  string
	behind  *s3.Client // for what is done behind the backend's back
	failing atomic.Int64
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	client := s.connect(through(&outage{&s.failing, cmp.Or(s.transport, http.DefaultTransport)}))
	b, err := awss3.New(client, s.bucket, awss3.Options{Prefix: s.prefix})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s *store) Raw(key string) ([]byte, error) {
	out, err := s.behind.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)})
	if none := (*types.NoSuchKey)(nil); errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (s *store) Corrupt(key string) error {
	_, err := s.behind.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + key), Body: strings.NewReader(""),
	})
	return err
}

func (s *store) Fail(n int) { s.failing.Store(int64(n)) }

// outage fails as many requests as it is told.
type outage struct {
	left *atomic.Int64
	next http.RoundTripper
}

var errOutage = errors.New("an outage for the test")

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		switch n := o.left.Load(); {
		case n == 0:
			return o.next.RoundTrip(r)
		case n < 0 || o.left.CompareAndSwap(n, n-1):
			return nil, errOutage
		}
	}
}

package awss3_test

import (
	"context"
	"crypto/rand"
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
	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

func TestConformanceInProcess(t *testing.T) {
	t.Parallel()
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			double := s3test.Start(t)
			bucket := s3test.Bucket(t, s3test.Client(double.URL))
			return advanced{newStore(double.URL, bucket), double}
		},
		Want: everything,
		Name: "awss3 on the double",
	})
}

// advanced is a store whose clock goes when it is told.
type advanced struct {
	*store
	*s3test.Double
}

func TestConformanceOfVersitygw(t *testing.T) {
	t.Parallel()
	conform(t, "awss3 on versitygw", s3test.Versitygw(t).URL)
}

func TestConformanceOfMoto(t *testing.T) {
	t.Parallel()
	conform(t, "awss3 on moto", mototest.Start(t).URL)
}

// conform runs the suite on a store that goes by the real clock. Leases expire
// by whole seconds there, two or three after they were taken.
func conform(t *testing.T, name, url string) {
	bucket := s3test.Bucket(t, s3test.Client(url))
	conformance.Run(t, conformance.Harness{
		New:      func(t conformance.T) conformance.Env { return newStore(url, bucket) },
		Want:     everything,
		Name:     name,
		LeaseTTL: time.Second,
	})
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
	url, bucket, prefix string
	behind              *s3.Client // for what is done behind the backend's back
	failing             atomic.Int64
}

func newStore(url, bucket string) *store {
	return &store{url: url, bucket: bucket, prefix: "conformance/" + rand.Text() + "+*[x] &/", behind: s3test.Client(url)}
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	client := s3test.Client(s.url, func(o *s3.Options) {
		o.HTTPClient = through(&outage{left: &s.failing})
	})
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
type outage struct{ left *atomic.Int64 }

var errOutage = errors.New("an outage for the test")

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		switch n := o.left.Load(); {
		case n == 0:
			return http.DefaultTransport.RoundTrip(r)
		case n < 0 || o.left.CompareAndSwap(n, n-1):
			return nil, errOutage
		}
	}
}

func through(t http.RoundTripper) *http.Client { return &http.Client{Transport: t} }

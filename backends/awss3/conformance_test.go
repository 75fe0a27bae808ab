package awss3_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

// conform runs the suite. On a bucket that goes by the real clock leases expire
// by whole seconds, one or two after their ttl.
func conform(t *testing.T, at place) {
	conformance.Run(t, conformance.Harness{
		New: func(conformance.T) conformance.Env {
			s := &store{place: at, prefix: newPrefix(), behind: at.connect()}
			switch {
			case at.double != nil:
				return advanced{s, at.double}
			case at.transport != nil:
				dated := &dated{next: at.transport, made: make(map[string]time.Time)}
				s.transport = dated
				s.connect = func(more ...func(*s3.Options)) *s3.Client {
					// The store goes on looking at signatures by its own clock.
					return at.connect(append(more, func(o *s3.Options) { o.DisableClockSkewCorrection = true })...)
				}
				return advanced{s, dated}
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
	conformance.Advancer
}

// dated gives what a store answers the times of a clock that can be moved. (The
// many processes wait for leases to expire by one that nobody moves.)
type dated struct {
	next http.RoundTripper

	mu    sync.Mutex
	ahead time.Duration
	made  map[string]time.Time // by ETag, which no two leases share
}

func (d *dated) Advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ahead += by
}

func (d *dated) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now, etag := time.Now().Add(d.ahead).UTC(), answer.Header.Get("Etag")
	if d.made[etag].IsZero() || r.Method == http.MethodPut {
		d.made[etag] = now // also of what was read before its writer had an answer
	}
	answer.Header.Set("Date", now.Format(http.TimeFormat))
	if answer.Header.Get("Last-Modified") != "" {
		answer.Header.Set("Last-Modified", d.made[etag].Format(http.TimeFormat))
	}
	return answer, nil
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
	b, err := awss3.New(client, s.bucket, awss3.Options{Prefix: s.prefix, NativeNames: s.native})
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

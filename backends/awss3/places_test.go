package awss3_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

// place is a bucket, and how to reach it.
type place struct {
	bucket    string
	connect   func(more ...func(*s3.Options)) *s3.Client
	transport http.RoundTripper // for many at one time; nil: http.DefaultTransport
	double    *s3test.Double    // whose it is, or nil
	native    bool              // its names are
}

// onAll are the tests that every store must pass, the real one too.
var onAll = []struct {
	name string
	test func(*testing.T, place)
}{
	{"calls", countCalls},
	{"iam-policy.json", comparePolicy},
	{"lost replies", loseReplies},
	{"conformance", conform},
}

func TestEveryStoreWithConditionsIsAPlaceForRecords(t *testing.T) {
	t.Parallel() // and beside the other tests that are
	for name, start := range map[string]func(testing.TB) place{
		"in process, with native names": func(t testing.TB) place {
			at := inProcess(t)
			at.native = true
			return at
		},
		"versitygw": onVersitygw,
		"moto":      onMoto,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runAll(t, start(t))
		})
	}
}

// On a bucket of Amazon's, or of another store, that is there already:
//
//	GRAPHTOKEN_LIVE_S3_BUCKET=my-bucket go test -run Live
//
// The account is what AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN say (aws configure export-credentials --format env), the
// store, where it isn't Amazon's, what AWS_ENDPOINT_URL does. Objects are named
// graphtoken-test/…; some remain. It takes some ten thousand requests.
func TestLive(t *testing.T) {
	bucket := os.Getenv("GRAPHTOKEN_LIVE_S3_BUCKET")
	if bucket == "" {
		t.Skip("GRAPHTOKEN_LIVE_S3_BUCKET is not set")
	}
	runAll(t, place{bucket: bucket, connect: func(more ...func(*s3.Options)) *s3.Client {
		o := s3.Options{
			Region: os.Getenv("AWS_REGION"),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{
					AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
					SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
					SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
				}, nil
			}),
		}
		if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
			o.BaseEndpoint, o.UsePathStyle = &url, true
		}
		return s3.New(o, append([]func(*s3.Options){s3test.Impatient}, more...)...)
	}})
}

func runAll(t *testing.T, at place) {
	for _, c := range onAll {
		t.Run(c.name, func(t *testing.T) { c.test(t, at) })
	}
}

func newPlace(t testing.TB, url string) place {
	t.Helper()
	connect := func(more ...func(*s3.Options)) *s3.Client { return s3test.Client(url, more...) }
	return place{bucket: s3test.Bucket(t, connect()), connect: connect}
}

func inProcess(t testing.TB) place {
	t.Helper()
	double := s3test.Start(t)
	at := newPlace(t, double.URL)
	at.double = double
	return at
}

func onVersitygw(t testing.TB) place {
	t.Helper()
	at := newPlace(t, s3test.Versitygw(t).URL)
	at.transport = &alone{putsTogether: true}
	return at
}

func onMoto(t testing.TB) place {
	t.Helper()
	at := newPlace(t, mototest.Start(t).URL)
	at.transport = new(alone)
	return at
}

// alone sends one at a time what a store does wrong side by side. Versitygw 1.8.0
// takes its lock for PUTs only: a DELETE may come between another's comparing
// and writing, and a GET may answer the ETag from before a PUT with the content
// from after it. Moto 5.2.5 compares, and then writes, without any lock.
type alone struct {
	putsTogether bool

	mu sync.RWMutex
}

func (a *alone) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.putsTogether && r.Method == http.MethodPut {
		a.mu.RLock()
		defer a.mu.RUnlock()
	} else {
		a.mu.Lock()
		defer a.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// newPrefix is one nobody else has, with much that means something elsewhere.
func newPrefix() string { return "graphtoken-test/" + rand.Text() + "+*[x] &/" }

// open returns a backend of its own, under a prefix of its own unless o has one.
func (p place) open(t testing.TB, o awss3.Options, more ...func(*s3.Options)) *awss3.Backend {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = newPrefix()
	}
	b, err := awss3.New(p.connect(more...), p.bucket, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// through has requests take their way through t.
func through(t http.RoundTripper) func(*s3.Options) {
	return func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: t} }
}

func save(t testing.TB, b *awss3.Backend, key, data string, known core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func acquire(t testing.TB, b *awss3.Backend, key string) core.Lease {
	t.Helper()
	l, err := b.Acquire(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

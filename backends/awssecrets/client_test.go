package awssecrets_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

// connect returns a client of its own, as another process would have. It tries
// as often as any, but doesn't pause in between.
func connect(url string, transport http.RoundTripper) *secretsmanager.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	return secretsmanager.New(secretsmanager.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:   &http.Client{Transport: transport},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		}),
	})
}

// open returns a double of the service and a backend on it.
func open(t testing.TB, server secretstest.Options, o awssecrets.Options) (*awssecrets.Backend, *secretstest.Server) {
	t.Helper()
	double := secretstest.Start(t, server)
	return on(t, connect(double.URL, nil), o), double
}

func on(t testing.TB, client *secretsmanager.Client, o awssecrets.Options) *awssecrets.Backend {
	t.Helper()
	b, err := awssecrets.New(client, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func save(t testing.TB, b core.TokenBackend, key, data string, known core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// outage fails as many requests as it is told, all while it is negative.
type outage struct {
	left atomic.Int64
	next http.RoundTripper
}

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

package awssecrets_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

// TestLive runs on the service itself, in secrets of a prefix that nobody else
// uses:
//
//	AWS_REGION=… AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… [AWS_SESSION_TOKEN=…] \
//	GRAPHTOKEN_LIVE_SECRETS_PREFIX=graphtoken-test/ go test -run Live -timeout 60m
//
// It makes some hundred secrets and deletes them for good, which costs a few
// cents. The key needs what iam-policy.json allows, on that prefix, and
// secretsmanager:ListSecretVersionIds.
func TestLive(t *testing.T) {
	prefix := os.Getenv("GRAPHTOKEN_LIVE_SECRETS_PREFIX")
	if prefix == "" {
		t.Skip("GRAPHTOKEN_LIVE_SECRETS_PREFIX is not set")
	}
	connect := func() *secretsmanager.Client {
		return secretsmanager.New(secretsmanager.Options{
			Region: os.Getenv("AWS_REGION"),
			Credentials: credentials.NewStaticCredentialsProvider(
				os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")),
		})
	}
	t.Run("the double is true", func(t *testing.T) {
		service{T: t, Client: connect(), prefix: prefix + rand.Text() + "/", exact: true}.versions()
	})
	t.Run("conformance", func(t *testing.T) {
		const late = "the service keeps the name of a lease that was released for some seconds"
		conformance.Run(t, conformance.Harness{
			New: func(t conformance.T) conformance.Env {
				return &live{connect: connect, prefix: prefix + rand.Text() + "/"}
			},
			Want: everything,
			Skip: map[string]string{
				"claims": late, "leases": late, "watch": late, "refresh": late, "store": late,
				"context/abandoned-acquire": late, "context/abandoned-refresh": late, "keys/long-everywhere": late, "large": late, "many": late,
				"list": "ListSecrets may be five minutes behind",
			},
			Timeout: 5 * time.Minute,
		})
	})
}

type live struct {
	connect func() *secretsmanager.Client
	prefix  string
}

func (l *live) Open(t conformance.T) core.TokenBackend {
	b, err := awssecrets.New(l.connect(), awssecrets.Options{Prefix: l.prefix})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return sweeping{b, t}
}

// sweeping deletes what it saved when the case is over.
type sweeping struct {
	*awssecrets.Backend
	t conformance.T
}

func (s sweeping) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	v, err := s.Backend.Save(ctx, key, rec)
	if err == nil {
		s.t.Cleanup(func() { _ = s.Backend.Delete(context.WithoutCancel(ctx), key) })
	}
	return v, err
}

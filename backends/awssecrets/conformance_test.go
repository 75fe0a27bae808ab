package awssecrets_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

var everything = conformance.Capabilities{
	CAS:          conformance.CASEnforced,
	Coordinates:  true,
	Lease:        true,
	LeaseExpires: true,
	Watch:        true,
	List:         true,
	Ping:         true,
	MaxSize:      65_536,
}

// TestConformanceOnMoto is with escaped names.
func TestConformanceWithNativeNamesOnTheDouble(t *testing.T) {
	t.Parallel() // it waits for leases to expire
	conform(t, awssecrets.Options{NativeNames: true}, nil)
}

func TestConformanceWithRecoveryDays(t *testing.T) {
	t.Parallel()
	const same = "how a secret is deleted makes no difference"
	conform(t, awssecrets.Options{RecoveryDays: 7}, map[string]string{
		"claims": same, "keys": same, "payload": same, "leases": same, "watch": same, "refresh": same, "redaction": same, "large": same, "many": same,
	})
}

func conform(t *testing.T, o awssecrets.Options, skip map[string]string) {
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			double := secretstest.Start(t, secretstest.Options{})
			return advanced{newStore(double.URL, http.DefaultTransport, o), double}
		},
		Want: everything,
		Skip: skip,
	})
}

func TestConformanceOnMoto(t *testing.T) {
	t.Parallel()
	server := mototest.Start(t)
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			moto := mend(http.DefaultTransport)
			return mendedStore{newStore(server.URL, moto, awssecrets.Options{}), moto}
		},
		Want: everything,
	})
}

type mendedStore struct {
	*store
	moto *mended
}

func (m mendedStore) Advance(d time.Duration) { m.moto.advance(generously(d)) }

// store is a prefix nobody else uses.
type store struct {
	url     string
	options awssecrets.Options
	outage  *outage
	behind  *secretsmanager.Client // for what is done behind the backend's back
}

func newStore(url string, transport http.RoundTripper, o awssecrets.Options) *store {
	o.Prefix = rand.Text() + "/"
	return &store{
		url:     url,
		options: o,
		outage:  &outage{next: transport},
		behind:  connect(url, transport),
	}
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	b, err := awssecrets.New(connect(s.url, s.outage), s.options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s *store) Raw(key string) ([]byte, error) {
	value, err := s.behind.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{
		SecretId:     aws.String(s.options.Prefix + key),
		VersionStage: aws.String("AWSCURRENT"),
	})
	if _, absent := errors.AsType[*types.ResourceNotFoundException](err); absent {
		return nil, nil
	}
	if _, deleted := errors.AsType[*types.InvalidRequestException](err); deleted {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if value.SecretString != nil {
		return []byte(*value.SecretString), nil
	}
	return value.SecretBinary, nil
}

func (s *store) Fail(n int) { s.outage.left.Store(int64(n)) }

var errOutage = errors.New("an outage for the test")

// advanced is a store whose clock goes when it is told, and whose values can be
// damaged.
type advanced struct {
	*store
	double *secretstest.Server
}

// Advance makes leases expire at once, which count in whole seconds and more of
// them than they were asked for.
func (a advanced) Advance(d time.Duration) { a.double.Advance(generously(d)) }

func (a advanced) Corrupt(key string) { a.double.SetValue(a.options.Prefix+key, "") }

func generously(d time.Duration) time.Duration {
	if d >= time.Second {
		d += 3 * time.Second
	}
	return d
}

package awssecrets_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
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

func TestConformanceOnTheDouble(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			double := secretstest.Start(t, secretstest.Options{})
			return advanced{newStore(double.URL, http.DefaultTransport), double}
		},
		Want: everything,
	})
}

func TestConformanceOnMoto(t *testing.T) {
	t.Parallel() // it waits for leases to expire
	server := mototest.Start(t)
	conformance.Run(t, conformance.Harness{
		New:  func(t conformance.T) conformance.Env { return newStore(server.URL, mend(http.DefaultTransport)) },
		Want: everything,
	})
}

// store is a prefix nobody else uses.
type store struct {
	url    string
	prefix string
	outage *outage
	behind *secretsmanager.Client // for what is done behind the backend's back
}

func newStore(url string, transport http.RoundTripper) *store {
	return &store{
		url:    url,
		prefix: rand.Text() + "/",
		outage: &outage{next: transport},
		behind: connect(url, transport),
	}
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	b, err := awssecrets.New(connect(s.url, s.outage), awssecrets.Options{Prefix: s.prefix})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s *store) Raw(key string) ([]byte, error) {
	value, err := s.behind.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{
		SecretId:     aws.String(s.prefix + key),
		VersionStage: aws.String("AWSCURRENT"),
	})
	if _, absent := errors.AsType[*types.ResourceNotFoundException](err); absent {
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

// Advance goes further than it is told, because leases are counted in whole
// seconds.
func (a advanced) Advance(d time.Duration) { a.double.Advance(d + 3*time.Second) }

func (a advanced) Corrupt(key string) { a.double.SetValue(a.prefix+key, "") }

// mend works around what moto does and the service doesn't: it is not atomic,
// and once UpdateSecretVersionStage has moved AWSCURRENT, a PutSecretValue leaves
// two versions with it. So requests are made one after the other, and a
// PutSecretValue of the current version becomes one of another stage and an
// UpdateSecretVersionStage.
func mend(next http.RoundTripper) http.RoundTripper { return &mended{next: next} }

type mended struct {
	mu   sync.Mutex
	next http.RoundTripper
}

func (m *mended) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Header.Get("X-Amz-Target") != "secretsmanager.PutSecretValue" {
		return m.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	var put map[string]any
	if err := json.Unmarshal(body, &put); err != nil {
		return nil, err
	}
	if put["VersionStages"] != nil {
		return m.send(r, "PutSecretValue", put)
	}
	put["VersionStages"] = []string{"moto"}
	answer, err := m.send(r, "PutSecretValue", put)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	description, err := m.send(r, "DescribeSecret", map[string]any{"SecretId": put["SecretId"]})
	if err != nil {
		return nil, err
	}
	defer description.Body.Close()
	var secret struct{ VersionIdsToStages map[string][]string }
	if err := json.NewDecoder(description.Body).Decode(&secret); err != nil {
		return nil, err
	}
	for id, stages := range secret.VersionIdsToStages {
		for _, stage := range stages {
			if stage == "AWSCURRENT" && id != put["ClientRequestToken"] {
				moved, err := m.send(r, "UpdateSecretVersionStage", map[string]any{
					"SecretId":            put["SecretId"],
					"VersionStage":        stage,
					"MoveToVersionId":     put["ClientRequestToken"],
					"RemoveFromVersionId": id,
				})
				if err != nil {
					return nil, err
				}
				_ = moved.Body.Close()
				return answer, nil
			}
		}
	}
	return answer, nil
}

// send sends a request with what r has about it: moto believes any signature.
func (m *mended) send(r *http.Request, operation string, what map[string]any) (*http.Response, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("X-Amz-Target", "secretsmanager."+operation)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return m.next.RoundTrip(r)
}

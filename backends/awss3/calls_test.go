package awss3_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

// recorder keeps the names of the requests that are sent, in their order.
type recorder struct {
	answered func(sent int) // may be nil

	mu   sync.Mutex
	sent []string
}

func (r *recorder) record(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		// The last step before the network, where retries come by too.
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("recorder",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				r.mu.Lock()
				r.sent = append(r.sent, awsmiddleware.GetOperationName(ctx))
				sent := len(r.sent)
				r.mu.Unlock()
				out, answer, err := next.HandleDeserialize(ctx, in)
				if r.answered != nil {
					r.answered(sent)
				}
				return out, answer, err
			}), middleware.After)
	})
}

// take returns what was sent since, and forgets it.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func countCalls(t *testing.T, at place) {
	calls := new(recorder)
	b := at.open(t, awss3.Options{}, calls.record)
	ctx := t.Context()
	var version core.Version
	var held core.Lease
	store := core.NewStore(b)
	source := store.TokenSource("user", tokencache.Query{ClientID: "app"}, func(_ context.Context, c *tokencache.Cache, _ core.Refresh) error {
		return c.Put(answer(time.Now()))
	})
	for _, step := range []struct {
		what string
		do   func() error
		want string
	}{
		{"Save that creates", func() (err error) {
			version, err = b.Save(ctx, "k", core.Record{Data: []byte("1"), Version: core.Absent})
			return err
		}, "PutObject"},
		{"Save that replaces", func() (err error) {
			version, err = b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: version})
			return err
		}, "PutObject"},
		{"Save that overwrites", func() (err error) {
			version, err = b.Save(ctx, "k", core.Record{Data: []byte("3"), Version: core.AnyVersion})
			return err
		}, "PutObject"},
		{"Save in vain", func() error {
			_, err := b.Save(ctx, "k", core.Record{Data: []byte("4"), Version: core.Absent})
			return want(err, core.ErrConflict)
		}, "PutObject"},
		{"Save with a version that is none", func() error {
			_, err := b.Save(ctx, "k", core.Record{Data: []byte("4"), Version: "*"})
			return want(err, core.ErrConflict)
		}, ""},
		{"Load", func() error { _, err := b.Load(ctx, "k"); return err }, "GetObject"},
		{"Load of nothing", func() error { _, err := b.Load(ctx, "none"); return want(err, core.ErrNotFound) }, "GetObject"},
		{"Check", func() error { _, err := b.Check(ctx, "k"); return err }, "GetObject"},
		{"Check of nothing", func() error { _, err := b.Check(ctx, "none"); return err }, "GetObject"},
		{"Acquire", func() (err error) { held, err = b.Acquire(ctx, "k", time.Minute); return err }, "PutObject"},
		{"Acquire in vain", func() error { _, err := b.Acquire(ctx, "k", time.Minute); return want(err, core.ErrLeaseHeld) }, "PutObject GetObject"},
		{"Wait that looks once", func() error { return b.Wait(ctx, "k", core.Absent) }, "GetObject"},
		{"Wait that looks once, and waits", func() error {
			ctx, cancel := context.WithCancel(ctx)
			calls.answered = func(sent int) {
				if sent == 2 {
					cancel()
				}
			}
			defer func() { calls.answered = nil }()
			return want(b.Wait(ctx, "k", version), context.Canceled)
		}, "GetObject GetObject"},
		{"Renew", func() error { return held.Renew(ctx, time.Minute) }, "PutObject"},
		{"Release", func() error { return held.Release(ctx) }, "DeleteObject"},
		{"Release again", func() error { return want(held.Release(ctx), core.ErrLeaseLost) }, ""},
		{"a whole refresh", func() error {
			_, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: version, Refresh: func(ctx context.Context, current core.Record) error {
				_, err := b.Save(ctx, "k", core.Record{Data: []byte("5"), Version: current.Version})
				return err
			}})
			return err
		}, "PutObject GetObject PutObject DeleteObject"},
		{"Update by a store", func() error {
			return store.Update(ctx, "user", func(c *tokencache.Cache) error { return c.Put(answer(time.Now().Add(-2 * time.Hour))) })
		}, "GetObject PutObject"},
		{"a token that has expired", func() error { _, err := source.Token(ctx); return err }, "GetObject PutObject GetObject PutObject DeleteObject"},
		{"a token that is valid", func() error { _, err := source.Token(ctx); return err }, ""},
		{"Keys", func() (err error) {
			for _, err = range b.Keys(ctx) {
			}
			return err
		}, "ListObjectsV2"},
		{"Delete", func() error { return b.Delete(ctx, "k") }, "DeleteObject"},
		{"Ping", func() error { return b.Ping(ctx) }, "PutObject PutObject PutObject DeleteObject DeleteObject GetObject PutObject DeleteObject"},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		if sent := strings.Join(calls.take(), " "); sent != step.want {
			t.Errorf("%s takes %q, want %q", step.what, sent, step.want)
		}
	}
}

// answer is what a provider answers a request that was sent at that time.
func answer(sent time.Time) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken: "at", RefreshToken: "rt", Scope: "User.Read", ExpiresIn: 3599, ClientID: "app", Tenant: "common",
		HomeAccountID: "user.tenant", Sent: sent, GrantType: "refresh_token",
	}
}

// want turns the error that should be into none.
func want(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return errors.Join(errors.New("not "+target.Error()), err)
}

// needs are the permissions that Amazon asks of each request, with the
// conditions that the backend sets, see "Required permissions for Amazon S3 API
// operations" in the S3 User Guide. Without s3:ListBucket an absent object is
// forbidden rather than absent; with If-Match a writer must be allowed to read.
var needs = map[string][]string{
	"GetObject":     {"s3:GetObject", "s3:ListBucket"},
	"PutObject":     {"s3:PutObject", "s3:GetObject"},
	"DeleteObject":  {"s3:DeleteObject", "s3:GetObject"},
	"ListObjectsV2": {"s3:ListBucket"},
}

// comparePolicy compares what iam-policy.json allows with what a whole life
// asks for: nothing is missing, and nothing more than needed is there.
func comparePolicy(t *testing.T, at place) {
	calls := new(recorder)
	b := at.open(t, awss3.Options{}, calls.record)
	liveThrough(t, b)
	var needed []string
	for _, call := range calls.take() {
		permissions, ok := needs[call]
		if !ok {
			t.Errorf("what does %s need?", call)
		}
		needed = append(needed, permissions...)
	}
	slices.Sort(needed)
	needed = slices.Compact(needed)

	allowed := readPolicy(t).actions()
	if !slices.Equal(allowed, needed) {
		t.Errorf("iam-policy.json allows %q, needed are %q", allowed, needed)
	}
}

// The policy is enough, where it is enforced. (Of what Amazon asks more for,
// reading with If-Match and listing for a 404, versitygw knows nothing.)
func TestThePolicyIsEnough(t *testing.T) {
	t.Parallel()
	gateway := s3test.Versitygw(t)
	gateway.AddAccount(t, "app", "app-secret")
	at := newPlace(t, gateway.URL)
	b := at.open(t, awss3.Options{Prefix: "tokens/"}, func(o *s3.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("app", "app-secret", "")
	})
	wantCode(t, b.Ping(t.Context()), "AccessDenied")

	p := readPolicy(t)
	for i := range p.Statement {
		s := &p.Statement[i]
		s.Principal = &principal{AWS: []string{"app"}} // a bucket's policy names whom it is for
		s.Resource = strings.NewReplacer("BUCKET", at.bucket, "PREFIX", "tokens/").Replace(s.Resource)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = at.connect().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &at.bucket, Policy: aws.String(string(text))})
	if err != nil {
		t.Fatal(err)
	}
	liveThrough(t, b)
}

// liveThrough does all that a backend can do, in a record's whole life.
func liveThrough(t *testing.T, b *awss3.Backend) {
	t.Helper()
	ctx := t.Context()
	if err := b.Ping(ctx); err != nil {
		t.Errorf("Ping: %v", err)
	}
	if _, err := b.Load(ctx, "k"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load of nothing = %v", err)
	}
	if ok, err := b.Check(ctx, "k"); ok || err != nil {
		t.Errorf("Check of nothing = %v, %v", ok, err)
	}
	v := save(t, b, "k", "1", core.Absent)
	held := acquire(t, b, "k")
	if _, err := b.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire of a held lease = %v", err)
	}
	waiting := make(chan error, 1)
	go func(seen core.Version) { waiting <- b.Wait(ctx, "k", seen) }(v)
	if err := held.Renew(ctx, time.Minute); err != nil {
		t.Errorf("Renew: %v", err)
	}
	v = save(t, b, "k", "2", v)
	save(t, b, "k", "3", core.AnyVersion)
	if _, err := b.Save(ctx, "k", core.Record{Data: []byte("4"), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save with a stale version = %v", err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("Wait: %v", err)
	}
	if err := held.Release(ctx); err != nil {
		t.Errorf("Release: %v", err)
	}
	for _, err := range b.Keys(ctx) {
		if err != nil {
			t.Errorf("Keys: %v", err)
		}
	}
	if err := b.Delete(ctx, "k"); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

// policy is iam-policy.json.
type policy struct {
	Version   string
	Statement []struct {
		Sid       string
		Effect    string
		Principal *principal `json:",omitempty"`
		Action    []string
		Resource  string
	}
}

type principal struct{ AWS []string }

func readPolicy(t *testing.T) policy {
	t.Helper()
	text, err := os.ReadFile("iam-policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p policy) actions() []string {
	var all []string
	for _, s := range p.Statement {
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return all
}

package awss3_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	client := s3.New(s3.Options{})
	for name, k := range map[string]struct {
		client *s3.Client
		bucket string
		o      awss3.Options
	}{
		"no client":         {nil, "b", awss3.Options{}},
		"no bucket":         {client, "", awss3.Options{}},
		"no UTF-8":          {client, "b", awss3.Options{Prefix: "\xff"}},
		"NUL":               {client, "b", awss3.Options{Prefix: "a\x00"}},
		"a long prefix":     {client, "b", awss3.Options{Prefix: strings.Repeat("p", 763)}},
		"a key for nothing": {client, "b", awss3.Options{KMSKeyID: "alias/tokens"}},
		"a key for AES256":  {client, "b", awss3.Options{KMSKeyID: "alias/tokens", ServerSideEncryption: types.ServerSideEncryptionAes256}},
	} {
		if b, err := awss3.New(k.client, k.bucket, k.o); err == nil || b != nil {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	for _, o := range []awss3.Options{
		{},
		{Prefix: strings.Repeat("p", 762)},
		{Prefix: "tokens/"},
		{ServerSideEncryption: types.ServerSideEncryptionAwsKmsDsse, KMSKeyID: "alias/tokens"},
	} {
		if _, err := awss3.New(client, "b", o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// objects are the names of all there is.
func (p place) objects(t *testing.T) []string {
	t.Helper()
	list, err := p.connect().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &p.bucket})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range list.Contents {
		names = append(names, *o.Key)
	}
	return names
}

func keys(t *testing.T, b *awss3.Backend) []string {
	t.Helper()
	var all []string
	for key, err := range b.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	return all
}

func TestKeysBecomeNamesThatTheStoreAccepts(t *testing.T) {
	at := inProcess(t)
	b := at.open(t, awss3.Options{Prefix: "p/"})
	for key, name := range map[string]string{
		"o365_token.txt":  "o365_token.txt",
		"ana@contoso.com": "ana!40contoso.com",
		"a/b!":            "a!2Fb!21",
		"soap":            "!!ednm2s0",
		"..":              "!!5on0",
	} {
		save(t, b, key, "1", core.Absent)
		held := acquire(t, b, key)
		if got, want := at.objects(t), []string{"p/" + name, "p/!lease/" + name}; !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("key %q makes %q, want %q", key, got, want)
		}
		if got := keys(t, b); !slices.Equal(got, []string{key}) {
			t.Errorf("Keys = %q, want %q", got, key)
		}
		if err := errors.Join(held.Release(t.Context()), b.Delete(t.Context(), key)); err != nil {
			t.Error(err)
		}
		if left := at.objects(t); len(left) > 0 {
			t.Errorf("%q are left of key %q", left, key)
		}
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

func TestKeysListsEveryPageAndNoStrangers(t *testing.T) {
	at := inProcess(t)
	const prefix = "p-"
	b := at.open(t, awss3.Options{Prefix: prefix})
	var want []string
	for i := range 1100 { // S3 lists a thousand at a time
		want = append(want, fmt.Sprint("user-", i))
		save(t, b, want[i], "1", core.Absent)
	}
	acquire(t, b, "leased")
	for _, stranger := range []string{prefix, prefix + "a/b", prefix + "a!b", prefix + "ä", "q-user", "user", prefix + "!!"} {
		_, err := at.connect().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &at.bucket, Key: &stranger, Body: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := keys(t, b); !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("Keys yields %d keys, want %d", len(got), len(want))
	}
}

func TestOptionsReachTheStore(t *testing.T) {
	for name, k := range map[string]struct {
		o    awss3.Options
		want map[string]string
	}{
		"none": {awss3.Options{}, map[string]string{"Content-Type": "application/octet-stream"}},
		"all": {awss3.Options{ServerSideEncryption: types.ServerSideEncryptionAwsKms, KMSKeyID: "alias/tokens", BucketKey: true, ContentType: "text/plain"}, map[string]string{
			"X-Amz-Server-Side-Encryption":                    "aws:kms",
			"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id":     "alias/tokens",
			"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true",
			"Content-Type": "text/plain",
		}},
	} {
		var taken taker
		at := place{bucket: "b", connect: func(more ...func(*s3.Options)) *s3.Client { return s3test.Client("http://127.0.0.1:1", more...) }}
		b := at.open(t, k.o, through(&taken))
		save(t, b, "k", "1", core.Absent)
		// A bucket may refuse what isn't encrypted so: leases are too.
		acquire(t, b, "k")
		if len(taken.headers) != 2 {
			t.Fatalf("%d objects were put", len(taken.headers))
		}
		k.want["If-None-Match"] = "*"
		for i, headers := range taken.headers {
			for header := range headers {
				sse := strings.HasPrefix(header, "X-Amz-Server-Side")
				if got := headers.Get(header); (sse || header == "Content-Type" && i == 0) && got != k.want[header] {
					t.Errorf("%s: %s: %s, want %q", name, header, got, k.want[header])
				}
			}
			for header := range k.want {
				if headers.Get(header) == "" {
					t.Errorf("%s: no %s", name, header)
				}
			}
		}
	}
}

// taker takes every object, and keeps the headers it came with.
type taker struct{ headers []http.Header }

func (k *taker) RoundTrip(r *http.Request) (*http.Response, error) {
	k.headers = append(k.headers, r.Header)
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Etag": {`"0123"`}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body:       http.NoBody,
		Request:    r,
	}, nil
}

// Of two clients that know one version, a later one's answer being the same
// bytes again is no new version: an ETag says what is stored, not when.
func TestTheSameContentIsTheSameVersion(t *testing.T) {
	b := inProcess(t).open(t, awss3.Options{})
	first := save(t, b, "k", "1", core.Absent)
	second := save(t, b, "k", "2", first)
	if again := save(t, b, "k", "1", second); again != first {
		t.Errorf("version %q, and was %q", again, first)
	}
}

// The store shows whole seconds: an object of 0.9 s is one of 0 s, and one that is
// found at 60.8 s was found at 60 s.
func TestALeaseIsNeverTakenOverEarly(t *testing.T) {
	at := inProcess(t)
	b := at.open(t, awss3.Options{})
	at.double.Stop(time.Now().Truncate(time.Second).Add(900 * time.Millisecond))
	held := acquire(t, b, "k")
	at.double.Advance(59*time.Second + 900*time.Millisecond)
	if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire a tenth of a second early: %v", err)
	}
	if err := held.Renew(t.Context(), time.Minute); err != nil {
		t.Errorf("Renew a tenth of a second before the end: %v", err)
	}
	at.double.Advance(62 * time.Second)
	if err := acquire(t, b, "k").Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// A process that has seen a lease expire must not replace the lease after its renewal.
func TestARenewalHasAnotherETag(t *testing.T) {
	at := inProcess(t)
	b := at.open(t, awss3.Options{Prefix: "p/"})
	etag := func() string {
		out, err := at.connect().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &at.bucket, Key: aws.String("p/!lease/k")})
		if err != nil {
			t.Fatal(err)
		}
		return *out.ETag
	}
	held := acquire(t, b, "k")
	before := etag()
	if err := held.Renew(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if after := etag(); after == before {
		t.Errorf("it is %s, as before", after)
	}
}

func TestALeaseThatIsReleasedWhenItIsLookedAtIsFree(t *testing.T) {
	at := inProcess(t)
	f := new(faults)
	b := at.faulty(t, f)
	held := acquire(t, b, "k")
	f.inject(pass, func(r *http.Request) (*http.Response, error) {
		if err := held.Release(r.Context()); err != nil {
			t.Error(err)
		}
		return pass(r)
	})
	acquire(t, b, "k")
	f.wantDone(t)
}

func TestALeaseOfNoTimeIsStillALease(t *testing.T) {
	at := inProcess(t)
	b := at.open(t, awss3.Options{})
	at.double.Stop(time.Now())
	for _, ttl := range []time.Duration{0, -time.Hour, 1} {
		if _, err := b.Acquire(t.Context(), "k", ttl); err != nil {
			t.Errorf("Acquire for %v: %v", ttl, err)
		}
		if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("Acquire at the same time of a lease for %v: %v", ttl, err)
		}
		at.double.Advance(3 * time.Second)
	}
	held, err := b.Acquire(t.Context(), "k", 1<<63-1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire of a lease for ever: %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnObjectThatIsNoLeaseIsAnError(t *testing.T) {
	at := inProcess(t)
	b := at.open(t, awss3.Options{Prefix: "p/"})
	_, err := at.connect().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &at.bucket, Key: aws.String("p/!lease/k"), Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrCorrupt) || !strings.Contains(err.Error(), "p/!lease/k") {
		t.Errorf("Acquire = %v", err)
	}
}

// keepVersions makes the bucket one whose deleted objects are versions that say so.
func (p place) keepVersions(t *testing.T) {
	t.Helper()
	_, err := p.connect().PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket:                  &p.bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestABucketThatKeepsVersionsWorksLikeAnyOther(t *testing.T) {
	t.Parallel()
	at := onMoto(t)
	at.keepVersions(t)
	countCalls(t, at)
	loseReplies(t, at)
	b := at.open(t, awss3.Options{})
	ctx := t.Context()
	for range 2 {
		v := save(t, b, "k", "1", core.Absent)
		held := acquire(t, b, "k")
		if err := errors.Join(held.Renew(ctx, time.Minute), held.Release(ctx), b.Delete(ctx, "k"), b.Delete(ctx, "k")); err != nil {
			t.Error(err)
		}
		if there, err := b.Check(ctx, "k"); there || err != nil {
			t.Errorf("Check of what was deleted = %v, %v", there, err)
		}
		if _, err := b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: v}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save over what was deleted = %v", err)
		}
		if got := keys(t, b); len(got) > 0 {
			t.Errorf("Keys = %q", got)
		}
	}
}

// Versitygw 1.8.0 does, if its buckets keep versions.
func TestPingFindsAStoreThatTakesWhatWasDeletedForAnObject(t *testing.T) {
	t.Parallel()
	at := onVersitygw(t)
	b := at.open(t, awss3.Options{})
	if err := b.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	at.keepVersions(t)
	if err := b.Ping(t.Context()); !errors.Is(err, awss3.ErrUnconditional) || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("Ping = %v", err)
	}
	if left := at.objects(t); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(client *s3.Client, bucket string, o awss3.Options) any {
		b, err := awss3.New(client, bucket, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	client := s3.New(s3.Options{})
	if first, second := at(client, "b", awss3.Options{}), at(client, "b", awss3.Options{ContentType: "application/json"}); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix": at(client, "b", awss3.Options{Prefix: "a/"}),
		"another bucket": at(client, "c", awss3.Options{}),
		"another client": at(s3.New(s3.Options{}), "b", awss3.Options{}),
	} {
		if other == at(client, "b", awss3.Options{}) {
			t.Errorf("%s: one place", name)
		}
	}
}

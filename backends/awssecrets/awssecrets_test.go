package awssecrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

func TestNewRefusesWhatTheServiceWould(t *testing.T) {
	client := connect("http://127.0.0.1:1", nil)
	for name, k := range map[string]struct {
		client *secretsmanager.Client
		o      awssecrets.Options
		is     error
	}{
		"no client":                 {nil, awssecrets.Options{}, nil},
		"a prefix with a space":     {client, awssecrets.Options{Prefix: "my tokens/"}, core.ErrInvalidKey},
		"a prefix that is an ARN":   {client, awssecrets.Options{Prefix: "arn:aws:"}, core.ErrInvalidKey},
		"a long prefix":             {client, awssecrets.Options{Prefix: strings.Repeat("p", 264)}, core.ErrInvalidKey},
		"a window of six days":      {client, awssecrets.Options{RecoveryDays: 6}, nil},
		"a window of a month":       {client, awssecrets.Options{RecoveryDays: 31}, nil},
		"a window that lies behind": {client, awssecrets.Options{RecoveryDays: -7}, nil},
	} {
		b, err := awssecrets.New(k.client, k.o)
		if err == nil || b != nil || k.is != nil && !errors.Is(err, k.is) {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	for _, o := range []awssecrets.Options{
		{}, {Prefix: "tokens/"}, {Prefix: strings.Repeat("p", 263)}, {RecoveryDays: 7}, {RecoveryDays: 30},
	} {
		if _, err := awssecrets.New(client, o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestKeysBecomeNamesThatTheStoreAccepts(t *testing.T) {
	long := strings.Repeat("p", 263)
	for key, name := range map[string]string{
		"o365_token.txt":         "o365_token.txt",
		"ana@contoso.com":        "ana=40contoso.com",
		"Ana":                    "Ana",
		"a/b":                    "a=2Fb",
		"token-a1b2c3":           "token-a1b2c3", // the service advises against it, for those who leave out the end of an ARN
		strings.Repeat("é", 75):  "",
		strings.Repeat("k", 150): strings.Repeat("k", 150),
	} {
		for _, prefix := range []string{"", "tokens/", long} {
			b, double := open(t, secretstest.Options{}, awssecrets.Options{Prefix: prefix})
			save(t, b, key, "1", core.Absent)
			held, err := b.Acquire(t.Context(), key, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			got := double.Secrets()
			if len(got) != 2 || name != "" && got[0] != prefix+name || got[1] != got[0]+"=leased" || !strings.HasPrefix(got[0], prefix) {
				t.Errorf("key %q is kept as %q", key, got)
			}
			if keys := list(t, b); !slices.Equal(keys, []string{key}) {
				t.Errorf("key %q is listed as %q", key, keys)
			}
			if err := held.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func list(t *testing.T, b *awssecrets.Backend) []string {
	t.Helper()
	var keys []string
	for key, err := range b.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestKeysGoesThroughAllPagesAndPassesStrangersOver(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{Prefix: "t/"})
	client := connect(double.URL, nil)
	var want []string
	for i := range 105 {
		want = append(want, fmt.Sprintf("user-%03d", i))
		save(t, b, want[i], "1", core.Absent)
	}
	for _, name := range []string{"t", "t/a/b", "t/a=4", "t/=61", "T/user", "other"} {
		create(t, client, name, "x")
	}
	create(t, client, "t/going", "x")
	if _, err := client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("t/going")}); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(slices.Values(list(t, b))); !slices.Equal(got, want) {
		t.Errorf("Keys = %q", got)
	}
	if n := double.Calls()["ListSecrets"]; n != 2 {
		t.Errorf("it took %d calls", n)
	}
}

// create makes a secret as another program would.
func create(t *testing.T, client *secretsmanager.Client, name, value string) string {
	t.Helper()
	in := &secretsmanager.CreateSecretInput{Name: &name}
	if value != "" {
		in.SecretString = &value
	}
	out, err := client.CreateSecret(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.VersionId)
}

// calls are those that f makes.
func calls(double *secretstest.Server, f func()) map[string]int {
	before := double.Calls()
	f()
	after := double.Calls()
	for operation, n := range before {
		if after[operation] -= n; after[operation] == 0 {
			delete(after, operation)
		}
	}
	return after
}

func TestEachOperationMakesTheCallsThatTheReadmeLists(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	ctx := t.Context()
	var v core.Version
	var l core.Lease
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []struct {
		what string
		do   func()
		want map[string]int
	}{
		{"the first save", func() { v = save(t, b, "k", "0", core.Absent) }, map[string]int{"CreateSecret": 1}},
		{"load", func() { _, err := b.Load(ctx, "k"); must(err) }, map[string]int{"GetSecretValue": 1}},
		{"a save over what was seen", func() { v = save(t, b, "k", "1", v) }, map[string]int{"PutSecretValue": 1, "UpdateSecretVersionStage": 1}},
		{"a save over anything", func() { v = save(t, b, "k", "2", core.AnyVersion) }, map[string]int{"PutSecretValue": 1}},
		{"check", func() { _, err := b.Check(ctx, "k"); must(err) }, map[string]int{"DescribeSecret": 1}},
		{"check of nothing", func() { _, err := b.Check(ctx, "other"); must(err) }, map[string]int{"DescribeSecret": 1}},
		{"acquire", func() { var err error; l, err = b.Acquire(ctx, "k", time.Minute); must(err) }, map[string]int{"CreateSecret": 1}},
		{"acquire in vain", func() { _, _ = b.Acquire(ctx, "k", time.Minute) }, map[string]int{"CreateSecret": 1, "GetSecretValue": 1}},
		{"renew", func() { must(l.Renew(ctx, time.Minute)) }, map[string]int{"PutSecretValue": 1}},
		{"release", func() { must(l.Release(ctx)) }, map[string]int{"DeleteSecret": 1}},
		{"a refresh cycle", func() {
			rec, err := b.Load(ctx, "k")
			must(err)
			_, err = b.ShouldRefresh(ctx, "k", core.RefreshRequest{
				Seen:     rec.Version,
				LeaseTTL: time.Minute,
				Refresh: func(_ context.Context, current core.Record) error {
					v = save(t, b, "k", "3", current.Version)
					return nil
				},
			})
			must(err)
		}, map[string]int{"GetSecretValue": 2, "CreateSecret": 1, "PutSecretValue": 1, "UpdateSecretVersionStage": 1, "DeleteSecret": 1}}, // six
		{"ping", func() { must(b.Ping(ctx)) }, map[string]int{"GetSecretValue": 1}},
		{"delete", func() { must(b.Delete(ctx, "k")) }, map[string]int{"DeleteSecret": 1}},
		{"delete of nothing", func() { must(b.Delete(ctx, "k")) }, map[string]int{"DeleteSecret": 1}},
		{"a save over anything where nothing is", func() { save(t, b, "k", "4", core.AnyVersion) }, map[string]int{"PutSecretValue": 1, "CreateSecret": 1}},
	} {
		if got := calls(double, k.do); !maps.Equal(got, k.want) {
			t.Errorf("%s: %v, want %v", k.what, got, k.want)
		}
	}
	if got := double.Secrets(); !slices.Equal(got, []string{"k"}) {
		t.Errorf("these are left: %q", got)
	}
}

func TestTheLeastPermissionsAreThoseUsed(t *testing.T) {
	text, err := os.ReadFile("iam-policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Statement []struct {
			Effect   string
			Action   any
			Resource string
		}
	}
	if err := json.Unmarshal(text, &policy); err != nil {
		t.Fatal(err)
	}
	allowed := make(map[string]bool)
	for _, s := range policy.Statement {
		actions, ok := s.Action.([]any)
		if !ok {
			actions = []any{s.Action}
		}
		for _, a := range actions {
			name, ok := strings.CutPrefix(a.(string), "secretsmanager:")
			if !ok || s.Effect != "Allow" {
				t.Errorf("%s %v", s.Effect, a)
			}
			allowed[name] = true
		}
	}

	// Everything there is, and what is rarely needed: a lease that is taken over,
	// a conflict, a secret that is restored.
	double := secretstest.Start(t, secretstest.Options{})
	client := connect(double.URL, nil)
	tags := map[string]string{"team": "mail"}
	for _, o := range []awssecrets.Options{{Prefix: "tokens/", Tags: tags}, {Prefix: "tokens/kept/", Tags: tags, RecoveryDays: 7}} {
		b := on(t, client, o)
		for range 2 {
			v := save(t, b, "k", "0", core.Absent)
			save(t, b, "k", "1", v)
			_, conflict := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: v})
			_, exists := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.Absent})
			if !errors.Is(conflict, core.ErrConflict) || !errors.Is(exists, core.ErrConflict) {
				t.Errorf("%v, %v", conflict, exists)
			}
			save(t, b, "k", "3", core.AnyVersion)
			for range 2 {
				l, err := b.Acquire(t.Context(), "k", time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.Renew(t.Context(), time.Second); err != nil {
					t.Error(err)
				}
				double.Advance(time.Minute)
			}
			_, loaded := b.Load(t.Context(), "k")
			_, checked := b.Check(t.Context(), "k")
			if err := errors.Join(loaded, checked, b.Wait(t.Context(), "k", core.Absent), b.Ping(t.Context()), b.Delete(t.Context(), "k")); err != nil {
				t.Error(err)
			}
			list(t, b)
		}
	}
	used := double.Calls()
	used["TagResource"] = 1 // CreateSecret needs the right where there are tags
	for name := range used {
		if !allowed[name] {
			t.Errorf("%s is called, and not allowed", name)
		}
		delete(allowed, name)
	}
	for name := range allowed {
		t.Errorf("%s is allowed, and not needed", name)
	}
}

func TestTextStaysTextForThoseWhoReadItInPlace(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	client := connect(double.URL, nil)
	for data, text := range map[string]bool{`{"AccessToken":{}}`: true, "Übergröße": true, "\xff\xfe": false} {
		save(t, b, "k", data, core.AnyVersion)
		value, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		if text && aws.ToString(value.SecretString) != data || !text && string(value.SecretBinary) != data {
			t.Errorf("%q is stored as %+v", data, value)
		}
	}
	if _, err := client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("k"), SecretBinary: []byte("by hand")}); err != nil {
		t.Fatal(err)
	}
	if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != "by hand" {
		t.Errorf("Load = %q, %v", rec.Data, err)
	}
}

func TestSecretsAreCreatedWithTheOptions(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{
		KMSKeyID:    "alias/tokens",
		Description: "tokens of the mailer",
		Tags:        map[string]string{"team": "mail", "env": "test"},
	})
	save(t, b, "k", "1", core.Absent)
	if _, err := b.Acquire(t.Context(), "k", time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"k", "k=leased"} {
		got, err := connect(double.URL, nil).DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &name})
		if err != nil {
			t.Fatal(err)
		}
		tags := make(map[string]string)
		for _, tag := range got.Tags {
			tags[*tag.Key] = *tag.Value
		}
		if aws.ToString(got.KmsKeyId) != "alias/tokens" || aws.ToString(got.Description) != "tokens of the mailer" || !maps.Equal(tags, map[string]string{"team": "mail", "env": "test"}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTooLargeSaysHowMuch(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	save(t, b, "k", strings.Repeat("x", 65_536), core.Absent)
	_, err := b.Save(t.Context(), "k", core.Record{Data: make([]byte, 65_537), Version: core.AnyVersion})
	if !errors.Is(err, core.ErrTooLarge) || !strings.Contains(err.Error(), "65537") || !strings.Contains(err.Error(), "65536") {
		t.Error(err)
	}
	if n := double.Calls()["PutSecretValue"]; n != 0 {
		t.Errorf("it was sent all the same")
	}
}

func TestModifiedIsTheServicesClock(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	double.Advance(-time.Hour)
	save(t, b, "k", "1", core.Absent)
	rec, err := b.Load(t.Context(), "k")
	if ago := time.Since(rec.Modified); err != nil || ago < 59*time.Minute || ago > 61*time.Minute {
		t.Errorf("Modified was %v ago, %v", ago, err)
	}
}

// Terraform makes secrets, and leaves it to others to give them a value.
func TestASecretWithoutAVersionIsNoRecordAndTakesOne(t *testing.T) {
	for _, known := range []core.Version{core.Absent, core.AnyVersion} {
		b, double := open(t, secretstest.Options{}, awssecrets.Options{})
		create(t, connect(double.URL, nil), "k", "")
		if _, err := b.Load(t.Context(), "k"); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load = %v", err)
		}
		if there, err := b.Check(t.Context(), "k"); there || err != nil {
			t.Errorf("Check = %v, %v", there, err)
		}
		v := save(t, b, "k", "1", known)
		if rec, err := b.Load(t.Context(), "k"); err != nil || rec.Version != v || string(rec.Data) != "1" {
			t.Errorf("Load = %+v, %v", rec, err)
		}
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save with Absent over it = %v", err)
		}
	}
}

func TestALostRaceLeavesOneVersionBesideTheCurrent(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	old := save(t, b, "k", "0", core.Absent)
	now := save(t, b, "k", "1", old)
	for range 30 {
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: old}); !errors.Is(err, core.ErrConflict) {
			t.Fatal(err)
		}
	}
	labels := 0
	for version, stages := range double.Stages("k") {
		labels += len(stages)
		if slices.Contains(stages, "AWSCURRENT") != (version == string(now)) {
			t.Errorf("%s is %v", version, stages)
		}
	}
	if labels != 3 { // AWSCURRENT, AWSPREVIOUS, graphtoken-pending
		t.Errorf("labels: %v", double.Stages("k"))
	}
}

func TestAQuotaIsNoConflict(t *testing.T) {
	b, _ := open(t, secretstest.Options{VersionLimit: 2}, awssecrets.Options{})
	v := save(t, b, "k", "0", core.Absent)
	v = save(t, b, "k", "1", v)
	for _, known := range []core.Version{v, core.AnyVersion} {
		_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: known})
		if _, quota := errors.AsType[*types.LimitExceededException](err); !quota || errors.Is(err, core.ErrConflict) {
			t.Errorf("Save = %v", err)
		}
	}
}

func TestALeaseIsNobodyElsesToEnd(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	late, err := b.Acquire(t.Context(), "k", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	double.Advance(time.Minute)
	if _, err := b.Acquire(t.Context(), "k", time.Minute); err != nil {
		t.Fatal(err)
	}
	for op, err := range map[string]error{"Renew": late.Renew(t.Context(), time.Hour), "Release": late.Release(t.Context())} {
		if !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("%s = %v", op, err)
		}
	}
	if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire beside the successor = %v", err)
	}
}

func TestLeasesAskNoClockButTheServices(t *testing.T) {
	for _, off := range []time.Duration{5 * time.Minute, -5 * time.Minute, 30 * 24 * time.Hour} {
		b, double := open(t, secretstest.Options{CheckTime: true}, awssecrets.Options{})
		double.Advance(off)
		l, err := b.Acquire(t.Context(), "k", 30*time.Second)
		if err != nil {
			t.Fatalf("%v off: %v", off, err)
		}
		if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("%v off: a second Acquire = %v", off, err)
		}
		if err := l.Renew(t.Context(), 30*time.Second); err != nil {
			t.Errorf("%v off: Renew = %v", off, err)
		}
		double.Advance(35 * time.Second)
		if err := l.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("%v off: Renew after its time = %v", off, err)
		}
		if _, err := b.Acquire(t.Context(), "k", time.Minute); err != nil {
			t.Errorf("%v off: Acquire of an expired lease = %v", off, err)
		}
	}
}

func TestALeaseEndsWhateverItsLength(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	for _, ttl := range []time.Duration{-time.Hour, 0, 1, time.Second, 100 * 24 * time.Hour} {
		l, err := b.Acquire(t.Context(), "k", ttl)
		if err != nil {
			t.Fatalf("Acquire for %v: %v", ttl, err)
		}
		double.Advance(max(0, ttl) + 5*time.Second)
		if err := l.Renew(t.Context(), ttl); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("Renew after %v = %v", ttl, err)
		}
	}
}

func TestASecretInALeasesPlaceIsAnError(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	create(t, connect(double.URL, nil), "k=leased", "mine")
	_, err := b.Acquire(t.Context(), "k", time.Minute)
	if !errors.Is(err, core.ErrCorrupt) || strings.Contains(err.Error(), "mine") || !strings.Contains(err.Error(), "k=leased") {
		t.Errorf("Acquire = %v", err)
	}
	if got := double.Value("k=leased"); string(got) != "mine" {
		t.Errorf("it holds %q now", got)
	}
}

func TestWaitersAskSeldom(t *testing.T) {
	const waiters = 8
	holder, double := open(t, secretstest.Options{}, awssecrets.Options{})
	v := save(t, holder, "k", "1", core.Absent)
	var all sync.WaitGroup
	before := double.Calls()
	_, err := holder.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
		Seen: v,
		Refresh: func(ctx context.Context, current core.Record) error {
			for range waiters {
				b := on(t, connect(double.URL, nil), awssecrets.Options{})
				all.Go(func() {
					decision, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
						Seen:    v,
						Refresh: func(context.Context, core.Record) error { t.Error("a second refresh"); return nil },
					})
					if err != nil || decision != core.RefreshedElsewhere {
						t.Errorf("ShouldRefresh = %v, %v", decision, err)
					}
				})
			}
			// Each has looked at the record three times, which takes as long as a
			// provider that is slow.
			testkit.Until(t, "each waiter looks three times", func() bool { return double.Calls()["DescribeSecret"] >= 3*waiters })
			_, err := holder.Save(ctx, "k", core.Record{Data: []byte("2"), Version: v})
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	all.Wait()
	n := 0
	for operation, after := range double.Calls() {
		n += after - before[operation]
	}
	n -= 5 // the holder's
	t.Logf("%d calls of %d waiters", n, waiters)
	if n > 17*waiters {
		t.Errorf("%d waiters made %d calls", waiters, n)
	}
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(client *secretsmanager.Client, o awssecrets.Options) any {
		b, err := awssecrets.New(client, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	client := connect("http://127.0.0.1:1", nil)
	if first, second := at(client, awssecrets.Options{}), at(client, awssecrets.Options{Description: "d", Tags: map[string]string{"a": "b"}}); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix":    at(client, awssecrets.Options{Prefix: "a/"}),
		"deleted otherwise": at(client, awssecrets.Options{RecoveryDays: 7}),
		"another client":    at(connect("http://127.0.0.1:1", nil), awssecrets.Options{}),
	} {
		if other == at(client, awssecrets.Options{}) {
			t.Errorf("%s: one place", name)
		}
	}
}

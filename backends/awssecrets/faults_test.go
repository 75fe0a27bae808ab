package awssecrets_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

var lost = secretstest.Fault{Lose: true}

// wantRecord expects what a save has left.
func wantRecord(t *testing.T, b *awssecrets.Backend, data string, v core.Version) {
	t.Helper()
	if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != data || rec.Version != v {
		t.Errorf("Load = %q, %q, %v; saved was %q as %q", rec.Data, rec.Version, err, data, v)
	}
}

func TestASaveWhoseAnswerIsLostFindsItself(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	var v core.Version
	for i, k := range []struct {
		lost  []string
		known func() core.Version
	}{
		{[]string{"CreateSecret"}, func() core.Version { return core.Absent }},
		{[]string{"PutSecretValue"}, func() core.Version { return core.AnyVersion }},
		{[]string{"PutSecretValue"}, func() core.Version { return v }},
		{[]string{"UpdateSecretVersionStage"}, func() core.Version { return v }},
		{[]string{"PutSecretValue", "UpdateSecretVersionStage"}, func() core.Version { return v }},
	} {
		for _, operation := range k.lost {
			double.Inject(operation, lost)
		}
		data := strconv.Itoa(i)
		made := calls(double, func() { v = save(t, b, "k", data, k.known()) })
		for _, operation := range k.lost {
			if made[operation] != 2 {
				t.Errorf("no answer to %s was lost: %v", operation, made)
			}
		}
		wantRecord(t, b, data, v)
	}
}

// between lets something happen between a request that took effect and the
// one that the SDK sends because the answer was lost.
type between struct {
	operation string
	happen    func()
	happened  bool
}

func (b *between) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && !b.happened && r.Header.Get("X-Amz-Target") == "secretsmanager."+b.operation {
		b.happened = true
		_ = resp.Body.Close()
		b.happen()
		return nil, errOutage
	}
	return resp, err
}

func TestASaveWhoseAnswerIsLostAndThatWasReplacedIsNoConflict(t *testing.T) {
	other, double := open(t, secretstest.Options{}, awssecrets.Options{})
	v := save(t, other, "k", "0", core.Absent)
	var next core.Version
	b := on(t, connect(double.URL, &between{operation: "UpdateSecretVersionStage", happen: func() {
		rec, err := other.Load(t.Context(), "k")
		if err != nil || string(rec.Data) != "1" {
			t.Fatalf("Load = %q, %v", rec.Data, err)
		}
		next = save(t, other, "k", "2", rec.Version)
	}}), awssecrets.Options{})
	save(t, b, "k", "1", v)
	wantRecord(t, b, "2", next)
}

func TestARaceThatIsLostWithItsAnswerIsAConflict(t *testing.T) {
	other, double := open(t, secretstest.Options{}, awssecrets.Options{})
	v := save(t, other, "k", "0", core.Absent)
	var next core.Version
	b := on(t, connect(double.URL, &between{operation: "PutSecretValue", happen: func() {
		next = save(t, other, "k", "1", v)
	}}), awssecrets.Options{})
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save = %v", err)
	}
	wantRecord(t, b, "1", next)
}

func TestARecordThatIsCreatedWhileItsAnswerIsLostIsAConflict(t *testing.T) {
	other, double := open(t, secretstest.Options{}, awssecrets.Options{})
	var next core.Version
	b := on(t, connect(double.URL, &between{operation: "CreateSecret", happen: func() {
		if err := other.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		next = save(t, other, "k", "1", core.Absent)
	}}), awssecrets.Options{})
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save = %v", err)
	}
	wantRecord(t, b, "1", next)
}

func TestALeaseWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	double.Inject("CreateSecret", lost)
	l, err := b.Acquire(t.Context(), "k", time.Minute)
	if err != nil {
		t.Fatalf("Acquire finds itself in the way: %v", err)
	}
	double.Inject("PutSecretValue", lost)
	if err := l.Renew(t.Context(), time.Minute); err != nil {
		t.Errorf("Renew = %v", err)
	}
	double.Inject("DeleteSecret", lost)
	if err := l.Release(t.Context()); err != nil {
		t.Errorf("Release = %v", err)
	}
	save(t, b, "k", "1", core.Absent)
	double.Inject("DeleteSecret", lost)
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if left := double.Secrets(); len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
}

// The service's time in the answer to a second try is that much later than the
// lease's beginning, by which others judge it.
func TestALeaseBeginsWhenItWasAskedForFirst(t *testing.T) {
	t.Parallel()
	const pause = time.Second
	for _, operation := range []string{"CreateSecret", "PutSecretValue"} {
		_, double := open(t, secretstest.Options{}, awssecrets.Options{})
		b := on(t, connect(double.URL, &between{operation: operation, happen: func() { time.Sleep(pause) }}), awssecrets.Options{})
		l, err := b.Acquire(t.Context(), "k", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if operation == "PutSecretValue" {
			if err := l.Renew(t.Context(), time.Second); err != nil {
				t.Errorf("Renew: %v", err)
			}
		}
		double.Advance(pause) // with the one before: as long as a lease of a second lasts
		if err := l.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("Renew after %s twice = %v", operation, err)
		}
	}
}

// late is a transport on which an operation takes some time.
type late struct {
	operation string
	takes     time.Duration
}

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Target") == "secretsmanager."+l.operation {
		time.Sleep(l.takes)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A lease that is taken over begins after the deletion of the one before.
func TestALeaseLastsAsLongHoweverLongTheDeletionOfAnExpiredOneTook(t *testing.T) {
	t.Parallel()
	other, double := open(t, secretstest.Options{}, awssecrets.Options{})
	if _, err := other.Acquire(t.Context(), "k", time.Second); err != nil {
		t.Fatal(err)
	}
	double.Advance(time.Minute)
	const ttl = 3 * time.Second
	b := on(t, connect(double.URL, late{"DeleteSecret", ttl + 2*time.Second}), awssecrets.Options{})
	l, err := b.Acquire(t.Context(), "k", ttl)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(t.Context(), ttl); err != nil {
		t.Errorf("Renew at once = %v", err)
	}
}

// dated is a service that counts whole seconds. Its answer to CreateSecret is of the second
// after the one in which the lease began, and the other answers are of a time after that.
type dated struct {
	beginning time.Time
	after     time.Duration
}

var fractions = regexp.MustCompile(`("CreatedDate":\d+)\.\d{3}`)

func (d *dated) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	at := d.beginning.Add(d.after)
	if d.beginning.IsZero() {
		if d.beginning, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
			return nil, err
		}
		at = d.beginning.Add(time.Second)
	}
	resp.Header.Set("Date", at.Format(http.TimeFormat))
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	body = fractions.ReplaceAll(body, []byte("$1.000"))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// The service may have cut off nearly a second of the time at which the lease begins, and
// nothing of the time of its answer, from which the holder counts.
func TestALeaseIsNotTakenOverWhileItsHolderCanRenewIt(t *testing.T) {
	clock := new(dated)
	_, double := open(t, secretstest.Options{}, awssecrets.Options{})
	b := on(t, connect(double.URL, clock), awssecrets.Options{})
	const lasts = 2 * time.Second // a ttl of a second, and one more
	held, err := b.Acquire(t.Context(), "k", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	clock.after = lasts
	if _, err := b.Acquire(t.Context(), "k", time.Second); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire of another = %v", err)
	}
	if err := held.Renew(t.Context(), time.Second); err != nil {
		t.Errorf("Renew = %v", err)
	}
}

// everyMethod calls all that talk to the service.
func everyMethod(t *testing.T, b *awssecrets.Backend, l core.Lease, v core.Version) map[string]error {
	ctx := t.Context()
	failed := make(map[string]error)
	_, failed["Load"] = b.Load(ctx, "k")
	_, failed["Check"] = b.Check(ctx, "k")
	_, failed["Save over what was seen"] = b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: v})
	_, failed["Save over anything"] = b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: core.AnyVersion})
	_, failed["Save where nothing is"] = b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: core.Absent})
	failed["Delete"] = b.Delete(ctx, "k")
	_, failed["Acquire"] = b.Acquire(ctx, "k", time.Minute)
	failed["Renew"] = l.Renew(ctx, time.Minute)
	failed["Release"] = l.Release(ctx)
	failed["Wait"] = b.Wait(ctx, "k", v)
	failed["Ping"] = b.Ping(ctx)
	_, failed["ShouldRefresh"] = b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: v})
	for _, err := range b.Keys(ctx) {
		failed["Keys"] = err
	}
	return failed
}

func TestAnErrorOfTheServiceStaysReachable(t *testing.T) {
	for _, fault := range []secretstest.Fault{
		secretstest.Throttled, secretstest.Internal, secretstest.Expired, secretstest.Denied,
		{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"},
		{Drop: true}, {Cut: true},
	} {
		b, double := open(t, secretstest.Options{}, awssecrets.Options{})
		v := save(t, b, "k", "1", core.Absent)
		l, err := b.Acquire(t.Context(), "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		always := make([]secretstest.Fault, 1000)
		for i := range always {
			always[i] = fault
		}
		double.Inject("", always...)
		for op, err := range everyMethod(t, b, l, v) {
			if err == nil {
				t.Errorf("%s = nil while every answer is %+v", op, fault)
				continue
			}
			if api := smithy.APIError(nil); fault.Code != "" && (!errors.As(err, &api) || api.ErrorCode() != fault.Code) {
				t.Errorf("%s = %v, want %s", op, err, fault.Code)
			}
			for _, other := range []error{core.ErrNotFound, core.ErrConflict, core.ErrCorrupt, core.ErrLeaseHeld, core.ErrLeaseLost, core.ErrReadOnly, awssecrets.ErrScheduledForDeletion} {
				if errors.Is(err, other) {
					t.Errorf("%s = %v, which is %v", op, err, other)
				}
			}
		}
	}
}

func TestAPassingFaultIsTriedAgain(t *testing.T) {
	for _, fault := range []secretstest.Fault{secretstest.Throttled, secretstest.Internal, {Drop: true}} {
		for _, operation := range []string{
			"CreateSecret", "GetSecretValue", "DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage", "DeleteSecret", "ListSecrets",
		} {
			b, double := open(t, secretstest.Options{}, awssecrets.Options{})
			double.Inject(operation, fault, fault)
			v := save(t, b, "k", "1", core.Absent)
			v = save(t, b, "k", "2", v)
			wantRecord(t, b, "2", v)
			if there, err := b.Check(t.Context(), "k"); !there || err != nil {
				t.Errorf("%s twice %+v: Check = %v, %v", operation, fault, there, err)
			}
			list(t, b)
			if err := b.Delete(t.Context(), "k"); err != nil {
				t.Errorf("%s twice %+v: Delete = %v", operation, fault, err)
			}
		}
	}
}

func TestAnAnswerCutShortIsNoRecord(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	v := save(t, b, "k", `{"AccessToken":{}}`, core.Absent)
	double.Inject("GetSecretValue", secretstest.Fault{Cut: true})
	switch rec, err := b.Load(t.Context(), "k"); {
	case err == nil && (rec.Version != v || string(rec.Data) != `{"AccessToken":{}}`):
		t.Errorf("Load = %+v", rec)
	case errors.Is(err, core.ErrCorrupt), errors.Is(err, core.ErrNotFound):
		t.Errorf("Load = %v", err)
	}
	double.Inject("DescribeSecret", secretstest.Fault{Cut: true})
	if there, err := b.Check(t.Context(), "k"); !there && err == nil {
		t.Error("Check says that the record is absent")
	}
}

func TestAWrongClockIsPutRight(t *testing.T) {
	for _, off := range []time.Duration{6 * time.Minute, -6 * time.Minute} {
		b, double := open(t, secretstest.Options{CheckTime: true}, awssecrets.Options{})
		double.Advance(off)
		v := save(t, b, "k", "1", core.Absent)
		v = save(t, b, "k", "2", v)
		wantRecord(t, b, "2", v)
	}
}

// schedule has the secret of "k" go in a week, as somebody at the console would.
func schedule(t *testing.T, double *secretstest.Server) {
	t.Helper()
	_, err := connect(double.URL, nil).DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{
		SecretId:             aws.String("k"),
		RecoveryWindowInDays: aws.Int64(7),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestASecretThatSomebodyScheduledForDeletionIsAnErrorOfItsOwn(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	v := save(t, b, "k", "1", core.Absent)
	schedule(t, double)
	ctx := t.Context()
	_, loaded := b.Load(ctx, "k")
	_, checked := b.Check(ctx, "k")
	_, known := b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: v})
	_, over := b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: core.AnyVersion})
	_, absent := b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: core.Absent})
	for op, err := range map[string]error{"Load": loaded, "Check": checked, "Save": known, "Save over anything": over, "Save with Absent": absent} {
		if !errors.Is(err, awssecrets.ErrScheduledForDeletion) || errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrConflict) {
			t.Errorf("%s = %v", op, err)
		}
	}
	if keys := list(t, b); len(keys) > 0 {
		t.Errorf("Keys = %q", keys)
	}
	if n := double.Calls()["RestoreSecret"]; n > 0 {
		t.Error("it was restored")
	}

	// The way out, either way.
	if _, err := connect(double.URL, nil).RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: aws.String("k")}); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, b, "1", v)
	schedule(t, double)
	if err := b.Delete(ctx, "k"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	v = save(t, b, "k", "3", core.Absent)
	wantRecord(t, b, "3", v)
}

func TestWithARecoveryWindowASecretIsGoneAndCanComeBack(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{RecoveryDays: 7})
	other := on(t, connect(double.URL, nil), awssecrets.Options{RecoveryDays: 7})
	v := save(t, b, "k", "0", core.Absent)
	for round, known := range []core.Version{core.Absent, core.AnyVersion} {
		old := v
		for range 2 { // of which the second has nothing to do
			if err := b.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		if got := double.Secrets(); len(got) != 1 {
			t.Fatalf("these are there: %q", got)
		}
		if _, err := b.Load(t.Context(), "k"); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load = %v", err)
		}
		if there, err := b.Check(t.Context(), "k"); there || err != nil {
			t.Errorf("Check = %v, %v", there, err)
		}
		if err := b.Wait(t.Context(), "k", old); err != nil {
			t.Errorf("Wait = %v", err)
		}
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("x"), Version: old}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save over the deleted version = %v", err)
		}
		v = save(t, other, "k", string(rune('1'+round)), known)
		wantRecord(t, b, string(rune('1'+round)), v)
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("x"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save with Absent = %v", err)
		}
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	double.Advance(8 * 24 * time.Hour)
	v = save(t, b, "k", "9", core.Absent)
	wantRecord(t, b, "9", v)
}

// The service deletes behind, and keeps the name for some seconds.
// A secret that another service manages, for example. Another call doesn't help.
func TestASecretThatRefusesNewVersionsIsAnErrorAtOnce(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	save(t, b, "k", "0", core.Absent)
	refused := secretstest.Fault{Status: http.StatusBadRequest, Code: "InvalidRequestException", Message: "You can't perform this operation on a managed secret"}
	double.Inject("PutSecretValue", refused)
	_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: core.AnyVersion})
	if _, said := errors.AsType[*types.InvalidRequestException](err); !said {
		t.Errorf("Save = %v", err)
	}
}

// A save that can't see why it was refused says what kept it from seeing.
func TestARefusalThatCannotBeExplainedIsAnError(t *testing.T) {
	b, double := open(t, secretstest.Options{}, awssecrets.Options{})
	save(t, b, "k", "0", core.Absent)
	double.Inject("DescribeSecret", secretstest.Denied)
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: core.Absent}); errors.Is(err, core.ErrConflict) || err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("Save = %v", err)
	}
}

func TestAUserCanSignInRightAfterASignOut(t *testing.T) {
	for _, window := range []int{0, 30} {
		b, double := open(t, secretstest.Options{PurgeTime: time.Hour}, awssecrets.Options{RecoveryDays: window})
		for _, known := range []core.Version{core.Absent, core.AnyVersion} {
			v := save(t, b, "k", "0", core.AnyVersion)
			_, err := connect(double.URL, nil).DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{
				SecretId:                   aws.String("k"),
				ForceDeleteWithoutRecovery: aws.Bool(true),
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Load(t.Context(), "k"); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("Load = %v", err)
			}
			if there, err := b.Check(t.Context(), "k"); there || err != nil {
				t.Errorf("Check = %v, %v", there, err)
			}
			if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("x"), Version: v}); !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save over the deleted version = %v", err)
			}
			if err := b.Delete(t.Context(), "k"); err != nil {
				t.Errorf("Delete = %v", err)
			}
			// The service is done when the second CreateSecret comes in.
			patient := on(t, connect(double.URL, &purging{double: double}), awssecrets.Options{RecoveryDays: window})
			v, err = patient.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: known})
			if err != nil {
				t.Fatalf("Save = %v", err)
			}
			wantRecord(t, b, "1", v)
		}
	}
}

// purging lets the purge time pass after some requests.
type purging struct {
	double   *secretstest.Server
	requests int
}

func (p *purging) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.requests++; p.requests == 5 {
		p.double.Advance(2 * time.Hour)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestALeaseThatTheServiceHasNotForgottenIsHeld(t *testing.T) {
	b, double := open(t, secretstest.Options{PurgeTime: 10 * time.Second}, awssecrets.Options{})
	v := save(t, b, "k", "1", core.Absent)
	for range 2 {
		l, err := b.Acquire(t.Context(), "k", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		double.Advance(20 * time.Second) // over: a take-over makes it wait as well
		if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("Acquire = %v", err)
		}
		if err := l.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("Renew = %v", err)
		}
		double.Advance(11 * time.Second)
		if err := b.Wait(t.Context(), "k", v); err != nil {
			t.Errorf("Wait = %v", err)
		}
	}
}

func TestAClientThatNeverTriesAgainDoesNotWaitForTheService(t *testing.T) {
	_, double := open(t, secretstest.Options{PurgeTime: time.Hour}, awssecrets.Options{})
	client := secretsmanager.New(connect(double.URL, nil).Options(), func(o *secretsmanager.Options) { o.Retryer = aws.NopRetryer{} })
	b := on(t, client, awssecrets.Options{})
	save(t, b, "k", "1", core.Absent)
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.Absent})
	if _, said := errors.AsType[*types.InvalidRequestException](err); !said || errors.Is(err, core.ErrConflict) {
		t.Errorf("Save = %v", err)
	}
	if n := double.Calls()["CreateSecret"]; n != 3 {
		t.Errorf("CreateSecret was called %d times", n)
	}
}

// strange answers everything the same, as what sits between may.
type strange struct {
	status int
	body   string
}

func (s strange) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode:    s.status,
		Header:        http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body:          io.NopCloser(strings.NewReader(s.body)),
		ContentLength: int64(len(s.body)),
		Request:       r,
	}, nil
}

// Of some of these the SDK's error quotes what it was given.
func TestAnAnswerThatCannotBeReadIsNotShown(t *testing.T) {
	const token = "0.AXEAsecret"
	for _, body := range []string{
		`{"VersionId":"` + strings.Repeat("a", 36) + `","SecretString":"` + token,
		`{"VersionId":"` + strings.Repeat("a", 36) + `","SecretString":{"` + token + `":"` + token + `"}}`,
		`{"VersionId":"` + strings.Repeat("a", 36) + `","SecretBinary":"` + token + `"}`,
		`{"VersionId":"` + strings.Repeat("a", 36) + `","SecretString":"` + token + `","CreatedDate":"` + token + `"}`,
		`"{\"SecretString\":\"` + token + `\"}"`,
		`"` + token + `"`,
		`["` + token + `"]`,
		`<html>` + token + `</html>`,
		token,
	} {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusBadGateway} {
			b := on(t, connect("http://127.0.0.1:1", strange{status, body}), awssecrets.Options{})
			_, err := b.Load(t.Context(), "k")
			if shown := fmt.Sprintf("%v %+v %#v", err, err, err); err == nil || strings.Contains(shown, token) {
				t.Errorf("%d %s: Load = %s", status, body, shown)
			}
			answer, unread := (*smithyhttp.ResponseError)(nil), (*smithy.DeserializationError)(nil)
			if !errors.As(err, &answer) || answer.HTTPStatusCode() != status {
				t.Errorf("%d %s: the SDK's error isn't there: %v", status, body, err)
			}
			if errors.As(err, &unread) && len(unread.Snapshot) > 0 {
				t.Errorf("%d %s: it keeps %q", status, body, unread.Snapshot)
			}
		}
	}
}

// gated lets answers pass a gate.
type gated struct{ *lateanswer.Gate }

func (g gated) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if late := g.Pass(r.Context()); late != nil {
		_ = answer.Body.Close()
		return nil, late
	}
	return answer, err
}

func TestACallerWhoLeavesLeavesNoLease(t *testing.T) {
	another, double := open(t, secretstest.Options{}, awssecrets.Options{})
	gate := lateanswer.NewGate()
	held := on(t, connect(double.URL, gated{gate}), awssecrets.Options{})
	// The service keeps a deleted secret's name for some seconds.
	lateanswer.NoLeaseStays(t, held, another, gate, func() { double.Advance(time.Second) })
}

package awss3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
)

// faults makes requests go wrong, each of the next ones by a fault of its own.
type faults struct {
	mu   sync.Mutex
	next []fault
}

type fault func(*http.Request) (*http.Response, error)

func (f *faults) inject(next ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = append(f.next, next...)
}

func (f *faults) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	send := pass
	if len(f.next) > 0 {
		send, f.next = f.next[0], f.next[1:]
	}
	f.mu.Unlock()
	return send(r)
}

// wantDone fails unless every fault has happened: the test would prove nothing.
func (f *faults) wantDone(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.next); n > 0 {
		t.Errorf("%d faults didn't happen", n)
		f.next = nil
	}
}

func pass(r *http.Request) (*http.Response, error) { return http.DefaultTransport.RoundTrip(r) }

// loseReply has the store do it, and nobody hear of it.
func loseReply(r *http.Request) (*http.Response, error) {
	answer, err := pass(r)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return nil, syscall.ECONNRESET
}

// cutRequest breaks the connection in the middle of what is sent.
func cutRequest(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), broken{}))
	return pass(r)
}

// cutReply breaks it in the middle of what is answered, which the client is
// told or, by a proxy that is no good, is not.
func cutReply(told bool) fault {
	return func(r *http.Request) (*http.Response, error) {
		answer, err := pass(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, err
		}
		_ = answer.Body.Close()
		half := io.Reader(bytes.NewReader(body[:len(body)/2]))
		if told {
			half = io.MultiReader(half, broken{})
		}
		answer.Body = io.NopCloser(half)
		for name := range answer.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-") {
				answer.Header.Del(name) // a store that keeps none
			}
		}
		return answer, nil
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// refuse has the store answer an error, and do nothing.
func refuse(status int, code string) fault {
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return &http.Response{
			StatusCode: status,
			Status:     fmt.Sprint(status, " ", http.StatusText(status)),
			Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header:  http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}},
			Body:    io.NopCloser(strings.NewReader("<Error><Code>" + code + "</Code><Message>for the test</Message></Error>")),
			Request: r,
		}, nil
	}
}

// faulty is a backend whose requests take their way through f.
func (p place) faulty(t *testing.T, f *faults) *awss3.Backend {
	t.Helper()
	return p.open(t, awss3.Options{}, through(f))
}

func wantRecord(t *testing.T, b *awss3.Backend, key, data string, v core.Version) {
	t.Helper()
	rec, err := b.Load(t.Context(), key)
	if err != nil || string(rec.Data) != data || rec.Version != v {
		t.Errorf("Load(%q) = %q, %q, %v; want %q, %q", key, rec.Data, rec.Version, err, data, v)
	}
}

// loseReplies loses the answer to what the store has done: the SDK sends it
// again, and it must not be in its own way.
func loseReplies(t *testing.T, at place) {
	f := new(faults)
	b := at.faulty(t, f)
	ctx := t.Context()
	f.inject(loseReply)
	v := save(t, b, "k", "1", core.Absent)
	f.wantDone(t)
	wantRecord(t, b, "k", "1", v)

	f.inject(loseReply)
	v = save(t, b, "k", "2", v)
	f.wantDone(t)
	wantRecord(t, b, "k", "2", v)

	f.inject(loseReply)
	old := v
	v = save(t, b, "k", "3", core.AnyVersion)
	f.wantDone(t)
	wantRecord(t, b, "k", "3", v)

	// The object may be another writer's all the same, also with the same content, or be
	// gone.
	for _, key := range []string{"k", "none"} {
		f.inject(refuse(500, "InternalError"))
		if _, err := b.Save(ctx, key, core.Record{Data: []byte("3"), Version: old}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save(%q) over what is another's = %v, want ErrConflict", key, err)
		}
		f.wantDone(t)
	}
	wantRecord(t, b, "k", "3", v)

	// An outage when it is looked at is neither.
	f.inject(loseReply, pass, refuse(403, "AccessDenied"))
	_, err := b.Save(ctx, "k", core.Record{Data: []byte("4"), Version: v})
	wantCode(t, err, "AccessDenied")
	f.wantDone(t)

	f.inject(loseReply)
	held := acquire(t, b, "k")
	f.wantDone(t)
	if _, err := b.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire of a held lease = %v", err)
	}
	f.inject(loseReply)
	if err := held.Renew(ctx, time.Minute); err != nil {
		t.Errorf("Renew: %v", err)
	}
	f.wantDone(t)

	// Every answer lost: an error that isn't ErrLeaseLost, and the lease goes on.
	f.inject(loseReply, loseReply, loseReply, refuse(503, "SlowDown"), refuse(503, "SlowDown"), refuse(503, "SlowDown"))
	if err := held.Renew(ctx, time.Minute); err == nil || errors.Is(err, core.ErrLeaseLost) {
		t.Errorf("Renew in an outage = %v", err)
	}
	f.mu.Lock()
	f.next = nil
	f.mu.Unlock()
	if err := held.Renew(ctx, time.Minute); err != nil {
		t.Errorf("Renew after a renewal whose answers were lost: %v", err)
	}
	f.inject(loseReply)
	if err := held.Release(ctx); err != nil {
		t.Errorf("Release: %v", err)
	}
	f.wantDone(t)
	if err := acquire(t, b, "k").Release(ctx); err != nil {
		t.Errorf("Release: %v", err)
	}
	f.inject(loseReply)
	if err := b.Delete(ctx, "k"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	f.wantDone(t)
}

func TestAPassingFaultIsTriedAgain(t *testing.T) {
	at := inProcess(t)
	f := new(faults)
	b := at.faulty(t, f)
	ctx := t.Context()
	for name, trouble := range map[string][]fault{
		"500":              {refuse(500, "InternalError")},
		"503":              {refuse(503, "SlowDown"), refuse(503, "SlowDown")},
		"throttling":       {refuse(400, "ThrottlingException")},
		"a cut connection": {cutRequest},
		"409":              {refuse(409, "ConditionalRequestConflict"), refuse(409, "ConditionalRequestConflict"), refuse(409, "ConditionalRequestConflict"), refuse(409, "ConditionalRequestConflict")},
	} {
		f.inject(trouble...)
		v := save(t, b, name, "1", core.Absent)
		f.wantDone(t)
		f.inject(trouble...)
		v = save(t, b, name, "2", v)
		f.wantDone(t)
		wantRecord(t, b, name, "2", v)
		f.inject(trouble...)
		held := acquire(t, b, name)
		f.wantDone(t)
		f.inject(trouble...)
		if err := held.Renew(ctx, time.Minute); err != nil {
			t.Errorf("%s: Renew: %v", name, err)
		}
		f.wantDone(t)
		if name != "a cut connection" { // the rest sends nothing that could be cut
			f.inject(trouble...)
		}
		if err := held.Release(ctx); err != nil {
			t.Errorf("%s: Release: %v", name, err)
		}
		f.wantDone(t)
	}
}

// A store that refuses a large request without reading it ends the connection, which
// the client may notice before the answer.
func TestALargeSaveWithoutAnAnswerIsWhatTheStoreTells(t *testing.T) {
	f := &faults{}
	at := inProcess(t)
	b := at.faulty(t, f)
	large := strings.Repeat("x", 100<<10)
	first := save(t, b, "k", large+"1", core.Absent)
	second := save(t, b, "k", large+"2", first)
	lost := []fault{reset, reset, reset}
	for _, row := range []struct {
		what   string
		known  core.Version
		faults []fault
		want   error
	}{
		{"it was refused: another version is stored", first, lost, core.ErrConflict},
		{"it was refused: something is stored", core.Absent, lost, core.ErrConflict},
		{"it did not arrive", second, lost, syscall.ECONNRESET},
		{"it was done", second, []fault{loseReply, reset, reset}, nil},
	} {
		f.inject(row.faults...)
		v, err := b.Save(t.Context(), "k", core.Record{Data: []byte(large + row.what), Version: row.known})
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v", row.what, err)
		}
		if row.want == nil {
			wantRecord(t, b, "k", large+row.what, v)
		}
		f.wantDone(t)
	}
}

func reset(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }

func TestAConflictAmongWritersEndsInTheSDKsError(t *testing.T) {
	f := new(faults)
	b := inProcess(t).faulty(t, f)
	f.inject(slices.Repeat([]fault{refuse(409, "ConditionalRequestConflict")}, 7)...)
	_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: core.Absent})
	wantCode(t, err, "ConditionalRequestConflict")
	f.wantDone(t)

	ctx, cancel := context.WithCancel(t.Context())
	f.inject(func(r *http.Request) (*http.Response, error) {
		defer cancel()
		return refuse(409, "ConditionalRequestConflict")(r)
	})
	if _, err := b.Save(ctx, "k", core.Record{Data: []byte("1"), Version: core.Absent}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled between two tries: %v", err)
	}
}

// wantCode expects an error of the SDK's, and none that means something else.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	said := smithy.APIError(nil)
	if !errors.As(err, &said) || said.ErrorCode() != code {
		t.Errorf("got %v, want the SDK's %s", err, code)
	}
	for _, other := range []error{core.ErrNotFound, core.ErrConflict, core.ErrCorrupt, core.ErrLeaseHeld, core.ErrLeaseLost} {
		if errors.Is(err, other) {
			t.Errorf("%v is %v", err, other)
		}
	}
}

func TestHalfARecordIsNone(t *testing.T) {
	f := new(faults)
	b := inProcess(t).faulty(t, f)
	v := save(t, b, "k", strings.Repeat("x", 6<<10), core.Absent)
	for _, told := range []bool{true, false} {
		f.inject(cutReply(told))
		if rec, err := b.Load(t.Context(), "k"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Load = %d bytes, %v", len(rec.Data), err)
		}
		f.wantDone(t)
	}
	// An answer that is sent in chunks has no length before its end.
	f.inject(func(r *http.Request) (*http.Response, error) {
		answer, err := pass(r)
		if err == nil {
			answer.Header.Del("Content-Length")
			answer.ContentLength = -1
		}
		return answer, err
	})
	wantRecord(t, b, "k", strings.Repeat("x", 6<<10), v)
	f.wantDone(t)

	// Nor is half a record ever stored.
	f.inject(cutRequest, cutRequest, cutRequest)
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte(strings.Repeat("y", 6<<10)), Version: v}); err == nil {
		t.Error("Save = nil, and nothing whole was sent")
	}
	f.wantDone(t)
	wantRecord(t, b, "k", strings.Repeat("x", 6<<10), v)
}

func TestARefusalIsNeitherAbsentNorAConflict(t *testing.T) {
	f := new(faults)
	b := inProcess(t).faulty(t, f)
	ctx := t.Context()
	v := save(t, b, "k", "1", core.Absent)
	held := acquire(t, b, "held")
	for code, refusal := range map[string]fault{
		"ExpiredToken":   refuse(400, "ExpiredToken"),
		"AccessDenied":   refuse(403, "AccessDenied"),
		"NoSuchBucket":   refuse(404, "NoSuchBucket"),
		"NotFound":       refuse(404, "NotFound"), // of whatever sits between
		"NotImplemented": refuse(501, "NotImplemented"),
	} {
		for name, do := range map[string]func() error{
			"Load":  func() error { _, err := b.Load(ctx, "k"); return err },
			"Check": func() error { _, err := b.Check(ctx, "k"); return err },
			"Save": func() error {
				_, err := b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: core.AnyVersion})
				return err
			},
			"conditional Save": func() error { _, err := b.Save(ctx, "k", core.Record{Data: []byte("2"), Version: v}); return err },
			"Delete":           func() error { return b.Delete(ctx, "k") },
			"Acquire":          func() error { _, err := b.Acquire(ctx, "other", time.Minute); return err },
			"Renew":            func() error { return held.Renew(ctx, time.Minute) },
			"Release":          func() error { return held.Release(ctx) },
			"Ping":             func() error { return b.Ping(ctx) },
			"Keys": func() error {
				for _, err := range b.Keys(ctx) {
					return err
				}
				return nil
			},
			"ShouldRefresh": func() error {
				_, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: core.AnyVersion})
				return err
			},
		} {
			t.Run(code+"/"+name, func(t *testing.T) {
				f.inject(refusal)
				err := do()
				f.wantDone(t)
				wantCode(t, err, code)
				if ours := (*core.Error)(nil); !errors.As(err, &ours) || ours.Backend != "awss3" {
					t.Errorf("%v isn't the backend's", err)
				}
			})
		}
	}
	wantRecord(t, b, "k", "1", v)
	if err := held.Release(ctx); err != nil {
		t.Error(err)
	}
}

// A proxy may answer anything, and with any status.
func TestAnAnswerThatCannotBeReadIsNotShown(t *testing.T) {
	const token = "0.AXEAsecret"
	f := new(faults)
	b := inProcess(t).faulty(t, f)
	v := save(t, b, "k", `{"RefreshToken":"`+token+`"}`, core.Absent)
	for _, body := range []string{token, `{"RefreshToken":"` + token, "<html>" + token + "</html>", "<html>" + token, "<Error><Code>x</Code>" + token} {
		for _, status := range []int{http.StatusFound, http.StatusNotFound, http.StatusBadGateway} {
			answer := func(r *http.Request) (*http.Response, error) {
				answer, err := refuse(status, "")(r)
				answer.Body = io.NopCloser(strings.NewReader(body))
				return answer, err
			}
			for name, do := range map[string]func() error{
				"Load": func() error { _, err := b.Load(t.Context(), "k"); return err },
				"Save": func() error {
					_, err := b.Save(t.Context(), "k", core.Record{Data: []byte(token), Version: v})
					return err
				},
			} {
				f.inject(answer, answer, answer)
				err := do()
				if shown := fmt.Sprintf("%v %+v %#v", err, err, err); err == nil || strings.Contains(shown, token) {
					t.Errorf("%s answered by %d %s: %s", name, status, body, shown)
				}
				if errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrConflict) || errors.Is(err, core.ErrCorrupt) {
					t.Errorf("%s answered by %d %s: %v", name, status, body, err)
				}
				f.mu.Lock()
				f.next = nil
				f.mu.Unlock()
			}
		}
	}
}

// An overwriting Save has no condition that could fail.
func TestSaveWithAnyVersionIsNeverAConflict(t *testing.T) {
	f := new(faults)
	b := inProcess(t).faulty(t, f)
	f.inject(refuse(412, "PreconditionFailed"))
	_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: core.AnyVersion})
	wantCode(t, err, "PreconditionFailed")
}

// Some stores say that there was nothing to delete.
func TestNothingToDeleteIsNoError(t *testing.T) {
	at := inProcess(t)
	f := new(faults)
	b := at.faulty(t, f)
	f.inject(refuse(404, "NoSuchKey"))
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	held := acquire(t, b, "in time")
	f.inject(refuse(404, "NoSuchKey")) // as to a second try, when the first was done
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	at.double.Stop(time.Now().Add(-time.Hour))
	held = acquire(t, b, "late")
	f.inject(refuse(404, "NoSuchKey"))
	if err := held.Release(t.Context()); !errors.Is(err, core.ErrLeaseLost) {
		t.Errorf("Release an hour later = %v", err)
	}
}

func TestAMissingBucketIsNoMissingRecord(t *testing.T) {
	at := inProcess(t)
	at.bucket = "no-such-bucket"
	b := at.open(t, awss3.Options{})
	_, err := b.Load(t.Context(), "k")
	wantCode(t, err, "NoSuchBucket")
	_, err = b.Check(t.Context(), "k")
	wantCode(t, err, "NoSuchBucket")
	_, err = b.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: "00"})
	wantCode(t, err, "NoSuchBucket")
	wantCode(t, b.Delete(t.Context(), "k"), "NoSuchBucket")
	wantCode(t, b.Ping(t.Context()), "NoSuchBucket")
}

// The clocks of client and store needn't agree: the SDK signs by the store's
// as soon as it has been told, and leases go by the store's alone.
func TestAWrongClockOfTheClientDoesNoHarm(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, -5 * time.Minute, 5 * time.Minute, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			at := inProcess(t)
			b, other := at.open(t, awss3.Options{Prefix: "p/"}), at.open(t, awss3.Options{Prefix: "p/"})
			at.double.Advance(off)
			v := save(t, b, "k", "1", core.Absent)
			wantRecord(t, other, "k", "1", v)
			rec, err := b.Load(t.Context(), "k")
			if d := time.Until(rec.Modified) - off; err != nil || d > time.Minute || d < -time.Minute {
				t.Errorf("Modified is %v off the store's clock (%v)", d, err)
			}
			held := acquire(t, b, "k")
			at.double.Advance(50 * time.Second)
			if _, err := other.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
				t.Errorf("Acquire ten seconds before the lease is over = %v", err)
			}
			if err := held.Renew(t.Context(), time.Minute); err != nil {
				t.Errorf("Renew: %v", err)
			}
			at.double.Advance(62 * time.Second)
			next := acquire(t, other, "k")
			if err := held.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
				t.Errorf("Renew of a lease that was taken over = %v", err)
			}
			if err := next.Release(t.Context()); err != nil {
				t.Errorf("Release: %v", err)
			}
		})
	}
}

// ignorant takes a condition off the requests of one method.
type ignorant struct{ method, condition string }

func (i ignorant) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == i.method {
		r = r.Clone(r.Context())
		r.Header.Del(i.condition)
	}
	return pass(r)
}

func TestPingNamesTheConditionThatAStoreIgnores(t *testing.T) {
	at := inProcess(t)
	if err := at.open(t, awss3.Options{}).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, store := range []ignorant{
		{http.MethodPut, "If-None-Match"},
		{http.MethodPut, "If-Match"},
		{http.MethodDelete, "If-Match"},
	} {
		err := at.open(t, awss3.Options{}, through(store)).Ping(t.Context())
		operation := map[string]string{http.MethodPut: "PutObject", http.MethodDelete: "DeleteObject"}[store.method]
		if !errors.Is(err, awss3.ErrUnconditional) || !strings.Contains(err.Error(), operation+" with "+store.condition) {
			t.Errorf("Ping of a store that ignores %v = %v", store, err)
		}
	}
	left, err := at.connect().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &at.bucket})
	if err != nil || len(left.Contents) > 0 {
		t.Errorf("%d objects are left (%v)", len(left.Contents), err)
	}
}

// A store that refuses the ETag it gave: neither a lost lease nor an endless loop.
func TestARefusedETagLosesNoLeaseAndMakesNoEndlessLoop(t *testing.T) {
	f := new(faults)
	b := inProcess(t).faulty(t, f)
	held := acquire(t, b, "k")
	f.inject(refuse(412, "PreconditionFailed"))
	if err := held.Renew(t.Context(), time.Minute); err == nil || errors.Is(err, core.ErrLeaseLost) {
		t.Errorf("Renew = %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
}

type dateless struct{}

func (dateless) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := pass(r)
	if err == nil {
		answer.Header.Del("Date")
	}
	return answer, err
}

func TestPingNamesAStoreWithoutAClock(t *testing.T) {
	b := inProcess(t).open(t, awss3.Options{}, through(dateless{}))
	if err := b.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "Date") {
		t.Errorf("Ping = %v", err)
	}
	// Records don't need one.
	wantRecord(t, b, "k", "1", save(t, b, "k", "1", core.Absent))
}

func TestACallerWhoLeavesLeavesNoLease(t *testing.T) {
	at := inProcess(t)
	f, gate, o := new(faults), lateanswer.NewGate(), awss3.Options{Prefix: newPrefix()}
	held := at.open(t, o, through(f))
	f.inject(func(r *http.Request) (*http.Response, error) {
		answer, err := pass(r)
		if late := gate.Pass(r.Context()); late != nil {
			_ = answer.Body.Close()
			return nil, late
		}
		return answer, err
	})
	lateanswer.NoLeaseStays(t, held, at.open(t, o), gate, nil)
	f.wantDone(t)
}

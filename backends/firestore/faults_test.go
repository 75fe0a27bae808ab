package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
)

func fault(code codes.Code) error { return status.Error(code, "a fault for the test") }

// Unavailable is what a cut connection is; the client sends the write again. The
// others it returns.
var lostAnswers = []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unknown, codes.DeadlineExceeded, codes.Canceled}

func TestASaveWhoseAnswerIsLostIsNoConflictWithItself(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		for i, code := range lostAnswers {
			key := fmt.Sprint("user-", i)
			known := core.Absent
			for n, next := range []func(core.Version) core.Version{
				func(core.Version) core.Version { return core.Absent },
				func(v core.Version) core.Version { return v },
				func(core.Version) core.Version { return core.AnyVersion },
			} {
				lost := times(1, fault(code), "Commit")
				w.inject(faults{after: lost})
				data := fmt.Sprint(n)
				saved, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: next(known)})
				if err != nil {
					t.Fatalf("%v: Save %d: %v", code, n, err)
				}
				if lost("Commit") != nil {
					t.Fatal("no answer was lost: the test proves nothing")
				}
				w.inject(faults{})
				wantRecord(t, b, key, data, saved)
				known = saved
			}
		}
	})
}

// A save that didn't take effect isn't taken for one that did.
func TestASaveThatIsLostIsAnError(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		v := save(t, b, "ana", "1", core.Absent)
		for _, code := range []codes.Code{codes.Internal, codes.Unknown, codes.DeadlineExceeded, codes.PermissionDenied, codes.Unauthenticated} {
			for _, known := range []core.Version{v, core.AnyVersion} {
				w.inject(faults{before: once(fault(code), "Commit")})
				if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: known}); status.Code(err) != code || errors.Is(err, core.ErrConflict) {
					t.Errorf("Save = %v, want %v", err, code)
				}
				wantRecord(t, b, "ana", "1", v)
			}
		}
	})
}

func TestALeaseWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		for _, code := range lostAnswers {
			key := code.String()
			w.inject(faults{after: once(fault(code), "Commit")})
			lease, err := b.Acquire(t.Context(), key, time.Hour)
			if err != nil {
				t.Fatalf("%v: Acquire: %v", code, err)
			}
			w.inject(faults{after: once(fault(code), "Commit")})
			if err := lease.Renew(t.Context(), time.Nanosecond); err != nil {
				t.Errorf("%v: Renew: %v", code, err)
			}
			// The lease has expired by now.
			w.inject(faults{after: once(fault(code), "Commit")})
			lease, err = b.Acquire(t.Context(), key, time.Hour)
			if err != nil {
				t.Fatalf("%v: Acquire of an expired lease: %v", code, err)
			}
			w.inject(faults{after: once(fault(code), "Commit")})
			err = lease.Release(t.Context())
			switch code {
			case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Canceled:
				if err != nil {
					t.Errorf("%v: Release: %v", code, err)
				}
			default: // not sent again, and so not known
				if status.Code(err) != code {
					t.Errorf("%v: Release: %v", code, err)
				}
			}
			w.inject(faults{})
			if _, err := b.Acquire(t.Context(), key, time.Hour); err != nil {
				t.Errorf("%v: the lease isn't free: %v", code, err)
			}
		}
	})
}

// A holder may be held up between its look at the lease and its write, until another
// process has taken the lease over.
func TestALeaseThatIsTakenOverBetweenTwoCallsOfItsFormerHolderIsLost(t *testing.T) {
	for name, end := range map[string]func(context.Context, core.Lease) error{
		"Renew":   func(ctx context.Context, l core.Lease) error { return l.Renew(ctx, time.Hour) },
		"Release": func(ctx context.Context, l core.Lease) error { return l.Release(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			double := firestoretest.Double(t)
			b, _, w := open(t, double, firestore.Options{})
			other, _, _ := open(t, double, firestore.Options{})
			late, err := b.Acquire(t.Context(), "ana", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			var successor core.Lease
			w.inject(faults{before: func(method string) error {
				if method == "Commit" && successor == nil {
					double.Advance(time.Minute)
					successor, err = other.Acquire(t.Context(), "ana", time.Minute)
				}
				return err
			}})
			if err := end(t.Context(), late); !errors.Is(err, core.ErrLeaseLost) || successor == nil {
				t.Errorf("%s = %v; the other's lease is %v", name, err, successor)
			}
			if _, err := other.Acquire(t.Context(), "ana", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
				t.Errorf("Acquire beside the successor = %v", err)
			}
		})
	}
}

func TestADeleteWhoseAnswerIsLostSucceeds(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		for _, whole := range []bool{false, true} {
			b, _, w := open(t, s, firestore.Options{DeleteDocuments: whole})
			save(t, b, "ana", "1", core.AnyVersion)
			w.inject(faults{after: once(fault(codes.Unavailable), "Commit")})
			if err := b.Delete(t.Context(), "ana"); err != nil {
				t.Error(err)
			}
			w.inject(faults{})
			if ok, err := b.Check(t.Context(), "ana"); ok || err != nil {
				t.Errorf("Check = %v, %v", ok, err)
			}
		}
	})
}

// A server that gives up because many write at one time is asked again.
func TestContentionIsTriedAgain(t *testing.T) {
	b, _, w := open(t, firestoretest.Double(t), firestore.Options{})
	w.inject(faults{before: times(4, fault(codes.Aborted), "Commit")})
	v := save(t, b, "ana", "1", core.Absent)
	w.inject(faults{before: times(4, fault(codes.Aborted), "Commit")})
	if err := b.Delete(t.Context(), "ana"); err != nil {
		t.Error(err)
	}
	w.inject(faults{before: times(-1, fault(codes.Aborted), "Commit")})
	w.take()
	if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: v}); status.Code(err) != codes.Aborted || errors.Is(err, core.ErrConflict) {
		t.Errorf("Save = %v", err)
	}
	if calls := w.take(); len(calls) != 6 {
		t.Errorf("it calls %q", calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.inject(faults{before: func(string) error { cancel(); return fault(codes.Aborted) }})
	if _, err := b.Save(ctx, "ana", core.Record{Data: []byte("2"), Version: core.AnyVersion}); !errors.Is(err, context.Canceled) || status.Code(err) != codes.Aborted {
		t.Errorf("Save whose context ends = %v", err)
	}
}

// Not even a database that isn't there (NotFound) or is in Datastore mode
// (FailedPrecondition) is taken for an absent record, a conflict or a held lease.
func TestAnErrorOfTheServerStaysReachable(t *testing.T) {
	server := firestoretest.Double(t)
	for _, code := range []codes.Code{
		codes.PermissionDenied, codes.Unauthenticated, codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted, codes.InvalidArgument,
		codes.ResourceExhausted, codes.Unavailable, codes.DeadlineExceeded, codes.Internal, // tried again by the client, some for ever
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			b, _, w := open(t, server, firestore.Options{})
			v := save(t, b, "ana", "1", core.Absent)
			held, err := b.Acquire(t.Context(), "ana", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			w.inject(faults{before: func(string) error { return fault(code) }})
			soon := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				t.Cleanup(cancel)
				return ctx
			}
			_, loaded := b.Load(soon(), "ana")
			_, checked := b.Check(soon(), "ana")
			_, saved := b.Save(soon(), "ana", core.Record{Data: []byte("2"), Version: v})
			_, created := b.Save(soon(), "bo", core.Record{Data: []byte("2"), Version: core.Absent})
			_, overwritten := b.Save(soon(), "ana", core.Record{Data: []byte("2"), Version: core.AnyVersion})
			_, acquired := b.Acquire(soon(), "bo", time.Hour)
			_, refreshed := b.ShouldRefresh(soon(), "bo", core.RefreshRequest{Seen: core.AnyVersion, Refresh: refresh(b, "bo", "2")})
			var listed error
			for _, listed = range b.Keys(soon()) {
			}
			for op, err := range map[string]error{
				"Load": loaded, "Check": checked, "Save": saved, "Save with Absent": created, "Save with AnyVersion": overwritten,
				"Delete": b.Delete(soon(), "ana"), "Acquire": acquired, "Renew": held.Renew(soon(), time.Hour), "Release": held.Release(soon()),
				"ShouldRefresh": refreshed, "Wait": b.Wait(soon(), "ana", v), "Keys": listed, "Ping": b.Ping(soon()),
			} {
				if c := status.Code(err); c != code && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s = %v, want %v", op, err, code)
				}
				for _, other := range []error{core.ErrNotFound, core.ErrConflict, core.ErrLeaseHeld, core.ErrLeaseLost, core.ErrReadOnly, core.ErrCorrupt, core.ErrTooLarge} {
					if errors.Is(err, other) {
						t.Errorf("%s = %v, which is %v", op, err, other)
					}
				}
			}
			w.inject(faults{})
			wantRecord(t, b, "ana", "1", v)
			if err := held.Renew(t.Context(), time.Hour); err != nil {
				t.Errorf("Renew after it: %v", err)
			}
		})
	}
}

// A server may refuse to write, and say so with a status that means a condition
// elsewhere. The document shows that the write wasn't made.
func TestARefusalForAnotherReasonIsNoConflict(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		v := save(t, b, "ana", "1", core.Absent)
		held, err := b.Acquire(t.Context(), "ana", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []codes.Code{codes.FailedPrecondition, codes.NotFound} {
			w.inject(faults{before: times(-1, fault(code), "Commit")})
			_, saved := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: v})
			_, overwritten := b.Save(t.Context(), "ana", core.Record{Data: []byte("2"), Version: core.AnyVersion})
			_, created := b.Save(t.Context(), "bo", core.Record{Data: []byte("2"), Version: core.Absent})
			_, acquired := b.Acquire(t.Context(), "bo", time.Hour)
			for op, err := range map[string]error{
				"Save": saved, "Save with AnyVersion": overwritten, "Save with Absent": created, "Acquire": acquired,
				"Renew": held.Renew(t.Context(), time.Hour), "Release": held.Release(t.Context()),
			} {
				if status.Code(err) != code || errors.Is(err, core.ErrConflict) {
					t.Errorf("%s = %v, want %v", op, err, code)
				}
			}
			w.inject(faults{})
		}
		if err := held.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAReadThatIsCutIsReadAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		b, _, w := open(t, s, firestore.Options{})
		v := save(t, b, "ana", "1", core.Absent)
		for _, code := range []codes.Code{codes.Unavailable, codes.Internal} {
			w.inject(faults{cut: once(fault(code), "BatchGetDocuments")})
			wantRecord(t, b, "ana", "1", v)
		}
	})
}

func TestWaitersOutliveTheirListeners(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		for _, code := range []codes.Code{
			codes.Unavailable,      // the client connects again
			codes.PermissionDenied, // it doesn't, and Wait looks by itself
		} {
			b, _, w := open(t, s, firestore.Options{})
			v := save(t, b, "ana", "1", core.AnyVersion)
			held, err := b.Acquire(t.Context(), "ana", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			w.inject(faults{cut: times(2, fault(code), "Listen")})
			woken := make(chan error, 1)
			go func() { woken <- b.Wait(t.Context(), "ana", v) }()
			testkit.Until(t, "the waiter listens", func() bool { return w.count("Listen") > 0 })
			save(t, b, "ana", "2", v)
			if err := <-woken; err != nil {
				t.Errorf("%v: %v", code, err)
			}
			if err := held.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// The client is the caller's, who may close it while others wait.
func TestWaitingEndsWithTheClient(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		w := new(wire)
		client := s.Client(t, "", w.options()...)
		b, err := firestore.New(client, collection(t), firestore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		v := save(t, b, "ana", "1", core.Absent)
		if _, err := b.Acquire(t.Context(), "ana", time.Hour); err != nil {
			t.Fatal(err)
		}
		waited := make(chan error, 1)
		go func() { waited <- b.Wait(t.Context(), "ana", v) }()
		w.untilWaiting(t)
		client.Close()
		if err := <-waited; status.Code(err) != codes.Canceled {
			t.Errorf("Wait = %v", err)
		}
		testkit.Until(t, "no listener is left", func() bool { return w.listeners() == 0 })
	})
}

// A transaction's function can run twice.
func TestNothingIsATransaction(t *testing.T) {
	b, _, w := open(t, firestoretest.Double(t), firestore.Options{})
	everything(t, b)
	for _, call := range w.take() {
		if call == "BeginTransaction" || call == "Rollback" {
			t.Errorf("%s is called", call)
		}
	}
}

// everything is each thing a backend does, in each of its ways.
func everything(t testing.TB, b *firestore.Backend) {
	t.Helper()
	ctx := t.Context()
	v := save(t, b, "ana", "1", core.Absent)
	v = save(t, b, "ana", "2", v)
	save(t, b, "ana", "3", core.AnyVersion)
	_, conflict := b.Save(ctx, "ana", core.Record{Data: []byte("4"), Version: v})
	held, err := b.Acquire(ctx, "ana", time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	next, err := b.Acquire(ctx, "ana", time.Hour)
	for errors.Is(err, core.ErrLeaseHeld) { // a microsecond more
		next, err = b.Acquire(ctx, "ana", time.Hour)
	}
	if err != nil {
		t.Fatal(err)
	}
	lost := held.Release(ctx)
	waiting, cancel := context.WithCancel(ctx)
	waited := make(chan error, 1)
	rec, loaded := b.Load(ctx, "ana")
	go func() { waited <- b.Wait(waiting, "ana", rec.Version) }()
	save(t, b, "ana", "5", rec.Version)
	woken := <-waited
	cancel()
	_, checked := b.Check(ctx, "ana")
	_, refreshed := b.ShouldRefresh(ctx, "cy", core.RefreshRequest{Seen: core.AnyVersion, Refresh: refresh(b, "cy", "6")})
	for op, err := range map[string]error{
		"Load": loaded, "Wait": woken, "Check": checked, "Renew": next.Renew(ctx, time.Hour),
		"Release": next.Release(ctx), "Delete": b.Delete(ctx, "ana"), "Delete of nothing": b.Delete(ctx, "dan"), "ShouldRefresh": refreshed, "Ping": b.Ping(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	if !errors.Is(conflict, core.ErrConflict) || !errors.Is(lost, core.ErrLeaseLost) {
		t.Errorf("a stale Save = %v, Release of a lost lease = %v", conflict, lost)
	}
	keysOf(t, b)
}

func TestACallerWhoLeavesLeavesNoLease(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		another, _, _ := open(t, s, firestore.Options{})
		held, _, w := open(t, s, firestore.Options{})
		gate := lateanswer.NewGate()
		w.inject(faults{after: func(method string) error {
			if method != "Commit" {
				return nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return gate.Pass(ctx)
		}})
		lateanswer.NoLeaseStays(t, held, another, gate, nil)
	})
}

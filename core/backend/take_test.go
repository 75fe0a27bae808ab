package backend_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// drawer is an object of a store with conditions, and its clock. It is the whole
// LeaseObject that TakeLease needs.
type drawer struct {
	mu     sync.Mutex
	stored backend.StoredLease
	writes int

	// lose is how many answers are lost from now on: the client sends the request again,
	// and gets the second answer.
	lose    int
	refuses bool // it refuses each version, also its own
	down    error

	tells     bool  // a write that is refused tells what is stored
	unread    error // of Read, if there is an object
	unwritten error // of Write
	reads     int

	keepsVersion bool   // a renewal leaves the version as it was, and Remove doesn't tell that there is no object
	beforeRead   func() // called once, before the next Read
	afterWrite   func() // called once, before the answer of the next Write
}

// once calls the function that is kept in a field, and removes it from there.
func (d *drawer) once(field *func()) {
	d.mu.Lock()
	call := *field
	*field = nil
	d.mu.Unlock()
	if call != nil {
		call()
	}
}

func (d *drawer) Read(context.Context) (backend.StoredLease, error) {
	d.once(&d.beforeRead)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stored.Version == core.Absent {
		return backend.StoredLease{}, core.ErrNotFound
	}
	d.reads++
	return d.found(), cmp.Or(d.down, d.unread)
}

// found is what is stored, as it is now.
func (d *drawer) found() backend.StoredLease {
	found := d.stored
	found.Now = time.Now()
	if d.keepsVersion {
		found.Owner = "" // which such a version makes needless
	}
	return found
}

func (d *drawer) Write(_ context.Context, owner string, ttl time.Duration, over backend.StoredLease) (backend.StoredLease, error) {
	stored, err := d.write(owner, ttl, over)
	d.once(&d.afterWrite)
	return stored, err
}

func (d *drawer) write(owner string, ttl time.Duration, over backend.StoredLease) (backend.StoredLease, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := cmp.Or(d.down, d.unwritten); err != nil {
		return backend.StoredLease{}, err
	}
	if d.stored.Version != over.Version || d.refuses && over.Version != core.Absent {
		if d.tells {
			return d.found(), core.ErrConflict
		}
		return backend.StoredLease{}, core.ErrConflict
	}
	if over.Owner != owner && d.stored.Expires.After(time.Now()) {
		return backend.StoredLease{}, errors.New("a lease would be taken over before its time")
	}
	d.writes++
	now, version := time.Now(), core.Version(strconv.Itoa(d.writes))
	if d.keepsVersion && over.Owner == owner {
		version = over.Version
	}
	d.stored = backend.StoredLease{Owner: owner, Version: version, Expires: now.Add(ttl), Now: now}
	if d.lose > 0 {
		d.lose--
		return backend.StoredLease{}, core.ErrConflict // to the second request
	}
	return d.found(), nil
}

func (d *drawer) Remove(_ context.Context, stored backend.StoredLease) (time.Time, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		return time.Time{}, d.down
	}
	switch {
	case d.stored.Version == stored.Version:
	case d.keepsVersion:
		return time.Now(), nil
	default:
		return time.Time{}, core.ErrConflict
	}
	d.stored = backend.StoredLease{}
	return time.Now(), nil
}

// take takes the lease in a drawer, for a minute.
func take(t *testing.T, d *drawer) core.Lease {
	t.Helper()
	lease, err := backend.TakeLease(t.Context(), d, time.Minute)
	if err != nil {
		t.Fatalf("TakeLease: %v", err)
	}
	return lease
}

func wantHeld(t *testing.T, d *drawer) {
	t.Helper()
	if _, err := backend.TakeLease(t.Context(), d, time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("TakeLease of a held lease = %v", err)
	}
}

func wantFree(t *testing.T, d *drawer) {
	t.Helper()
	if left, err := backend.LeaseLeft(d)(t.Context(), "ana"); left > 0 || err != nil {
		t.Errorf("the lease lasts %v longer, %v", left, err)
	}
}

func TestALeaseInAnObjectEndsWithItsTimeOrItsRelease(t *testing.T) {
	for name, d := range map[string]*drawer{"whose version each write changes": {}, "whose version a renewal keeps": {keepsVersion: true}} {
		t.Run(name, func(t *testing.T) { testALeaseEndsWithItsTimeOrItsRelease(t, d) })
	}
}

func testALeaseEndsWithItsTimeOrItsRelease(t *testing.T, d *drawer) {
	synctest.Test(t, func(t *testing.T) {
		wantFree(t, d)
		lease := take(t, d)
		wantHeld(t, d)
		time.Sleep(40 * time.Second)
		if err := lease.Renew(t.Context(), time.Minute); err != nil {
			t.Errorf("Renew = %v", err)
		}
		time.Sleep(40 * time.Second)
		wantHeld(t, d)
		if left, err := backend.LeaseLeft(d)(t.Context(), "ana"); left != 20*time.Second || err != nil {
			t.Errorf("LeaseLeft = %v, %v", left, err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Errorf("Release = %v", err)
		}
		if err := lease.Release(t.Context()); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("a second Release = %v", err)
		}
		wantLost(t, lease)
		wantFree(t, d)
		lost := take(t, d)
		time.Sleep(time.Minute)
		wantFree(t, d)
		next := take(t, d)
		wantLost(t, lease, lost)
		wantHeld(t, d)
		if err := next.Release(t.Context()); err != nil {
			t.Errorf("Release = %v", err)
		}
	})
}

func wantLost(t *testing.T, leases ...core.Lease) {
	t.Helper()
	for _, lease := range leases {
		for range 2 {
			if err := lease.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
				t.Errorf("Renew of a lost lease = %v", err)
			}
			if err := lease.Release(t.Context()); !errors.Is(err, core.ErrLeaseLost) {
				t.Errorf("Release of a lost lease = %v", err)
			}
		}
	}
}

func TestALeaseThatExpiredIsLostAndFreeAlthoughNobodyTookIt(t *testing.T) {
	for name, end := range map[string]func(context.Context, core.Lease) error{
		"its holder renews it":   func(ctx context.Context, l core.Lease) error { return l.Renew(ctx, time.Hour) },
		"its holder releases it": func(ctx context.Context, l core.Lease) error { return l.Release(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := new(drawer)
				lease := take(t, d)
				time.Sleep(time.Minute)
				if err := end(t.Context(), lease); !errors.Is(err, core.ErrLeaseLost) {
					t.Errorf("the error is %v", err)
				}
				wantFree(t, d)
				wantLost(t, lease)
				take(t, d)
			})
		})
	}
}

func TestALeaseThatExpiredStaysLostAlsoIfItCouldNotBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drawer{keepsVersion: true}
		lease := take(t, d)
		time.Sleep(time.Minute)
		d.afterWrite = func() { d.down = errors.New("no connection") }
		if err := lease.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("Renew = %v", err)
		}
		d.down = nil
		wantLost(t, lease)
		time.Sleep(time.Minute)
		wantFree(t, d)
	})
}

// The answers of two renewals can come in another order than the renewals were stored.
// The holder would then believe the wrong one.
func TestOneChangeOfALeaseFollowsTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drawer{keepsVersion: true}
		lease := take(t, d)
		d.afterWrite = func() { time.Sleep(10 * time.Second) }
		go func() {
			if err := lease.Renew(t.Context(), time.Hour); err != nil {
				t.Errorf("Renew for an hour = %v", err)
			}
		}()
		synctest.Wait()
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if err := lease.Release(gone); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Release during a renewal = %v", err)
		}
		if err := lease.Renew(t.Context(), time.Minute); err != nil {
			t.Errorf("Renew for a minute = %v", err)
		}
		time.Sleep(11*time.Second + time.Minute)
		wantFree(t, d)
		if err := lease.Renew(t.Context(), time.Minute); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("Renew after the minute = %v", err)
		}
	})
}

func TestALeaseThatIsGoneWhenItShouldBeReplacedIsCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(drawer)
		former := take(t, d)
		time.Sleep(time.Minute)
		d.tells = true
		d.afterWrite = func() { _ = former.Release(t.Context()) } // after the write that found the lease
		take(t, d)
	})
}

func TestALeaseWhoseAnswerIsLostIsFoundByItsOwner(t *testing.T) {
	d := &drawer{lose: 1}
	lease := take(t, d)
	wantHeld(t, d)
	d.lose = 1
	if err := lease.Renew(t.Context(), time.Minute); err != nil {
		t.Errorf("Renew = %v", err)
	}
	// A renewal of which nobody got an answer.
	if _, err := d.Write(t.Context(), d.stored.Owner, time.Minute, d.stored); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Errorf("Release = %v", err)
	}
	wantFree(t, d)
}

func TestAnOutageLosesNoLease(t *testing.T) {
	d, outage := new(drawer), errors.New("no connection")
	lease := take(t, d)
	d.down = outage
	_, unread := backend.LeaseLeft(d)(t.Context(), "ana")
	_, untaken := backend.TakeLease(t.Context(), d, time.Minute)
	for what, err := range map[string]error{"Renew": lease.Renew(t.Context(), time.Minute), "Release": lease.Release(t.Context()), "LeaseLeft": unread, "TakeLease": untaken} {
		if !errors.Is(err, outage) {
			t.Errorf("%s = %v", what, err)
		}
	}
	d.down = nil
	if err := errors.Join(lease.Renew(t.Context(), time.Minute), lease.Release(t.Context())); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestAStoreThatRefusesItsOwnVersionLosesNoLeaseAndMakesNoEndlessLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(drawer)
		lease := take(t, d)
		d.refuses = true
		if err := lease.Renew(t.Context(), time.Minute); err == nil || errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("Renew = %v", err)
		}
		time.Sleep(time.Minute)
		wantHeld(t, d) // it has expired, and can't be replaced
	})
}

func TestALeaseThatARefusedWriteTellsIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drawer{tells: true}
		take(t, d)
		wantHeld(t, d)
		time.Sleep(time.Minute)
		take(t, d)
		if d.reads > 0 {
			t.Errorf("the object was read %d times", d.reads)
		}
	})
}

func TestALeaseThatCannotBeReadIsHeld(t *testing.T) {
	d := &drawer{}
	take(t, d)
	d.unread = core.ErrLeaseHeld
	wantHeld(t, d)
	if left, err := backend.LeaseLeft(d)(t.Context(), "ana"); left != backend.Held || err != nil {
		t.Errorf("the lease lasts %v longer, %v", left, err)
	}
}

func TestAnErrorOfTheStoreIsReturnedAsItIs(t *testing.T) {
	for name, d := range map[string]*drawer{
		"the object is no lease":    {unread: core.ErrCorrupt},
		"the object can't be read":  {unread: errors.New("forbidden")},
		"the object can't be taken": {unwritten: errors.New("forbidden")},
	} {
		t.Run(name, func(t *testing.T) {
			unwritten := d.unwritten
			d.unwritten = nil
			lease := take(t, d)
			d.unwritten = unwritten
			want := cmp.Or(d.unread, d.unwritten)
			if _, err := backend.TakeLease(t.Context(), d, time.Minute); !errors.Is(err, want) {
				t.Errorf("TakeLease = %v", err)
			}
			d.refuses = true // so that the lease is read
			if err := lease.Renew(t.Context(), time.Minute); !errors.Is(err, want) {
				t.Errorf("Renew = %v", err)
			}
			if _, err := backend.LeaseLeft(d)(t.Context(), "ana"); !errors.Is(err, d.unread) {
				t.Errorf("LeaseLeft = %v", err)
			}
		})
	}
}

func TestOneOfManyTakesALeaseThatExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(drawer)
		take(t, d)
		time.Sleep(time.Minute)
		var won atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch _, err := backend.TakeLease(t.Context(), d, time.Minute); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, core.ErrLeaseHeld):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d have the lease", won.Load())
		}
	})
}

func TestTryLeaseReportsNeitherAnotherPingNorALeaseThatEnded(t *testing.T) {
	forbidden := errors.New("forbidden")
	for said, want := range map[error]error{core.ErrLeaseHeld: nil, core.ErrLeaseLost: nil, forbidden: forbidden, nil: nil} {
		d := &drawer{}
		err := backend.TryLease(t.Context(), func(ctx context.Context) (core.Lease, error) {
			lease, err := backend.TakeLease(ctx, d, time.Minute)
			d.down = said
			return lease, err
		})
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("TryLease of a store that says %v = %v", said, err)
		}
	}
}

func ExampleTakeLease() {
	ctx := context.Background()
	d := new(drawer) // a LeaseObject
	lease, err := backend.TakeLease(ctx, d, time.Minute)
	fmt.Println(err)
	_, err = backend.TakeLease(ctx, d, time.Minute)
	fmt.Println(err)
	fmt.Println(lease.Release(ctx))
	// Output:
	// <nil>
	// lease held
	// <nil>
}

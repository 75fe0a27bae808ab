package bitwarden_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
)

// createTogether has backends that don't know of each other create one record:
// each saves its number. All have found nothing before one creates, and all have
// created before one has its second look.
func createTogether(t *testing.T, s *bitwardentest.Server, over core.Version) (backends []*bitwarden.Backend, errs []error) {
	const n = 8
	found, created := make(chan struct{}), make(chan struct{})
	for range n {
		backends = append(backends, openFirst(t, s))
		s.Inject(bitwardentest.List, bitwardentest.Fault{HoldReply: found})
		s.Inject(bitwardentest.Create, bitwardentest.Fault{HoldReply: created})
	}
	errs = make([]error, n)
	var group sync.WaitGroup
	for i, b := range backends {
		group.Go(func() {
			_, errs[i] = b.Save(t.Context(), "ana", core.Record{Data: fmt.Append(nil, i), Version: over})
		})
	}
	synctest.Wait()
	close(found)
	synctest.Wait()
	if got := s.Counts()[bitwardentest.Create]; got != n {
		t.Fatalf("%d of %d have created a secret", got, n)
	}
	close(created)
	group.Wait()
	return backends, errs
}

func TestOfManyThatCreateOneSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		begun := time.Now()
		backends, errs := createTogether(t, s, core.Absent)
		winner := slices.Index(errs, nil)
		if winner < 0 {
			t.Fatalf("none could create the record: %v", errs)
		}
		for i, err := range errs {
			if i != winner && !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save by %d = %v, want core.ErrConflict", i, err)
			}
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("that took %v", took)
		}
		for _, b := range backends {
			mustLoad(t, b, "ana", fmt.Sprint(winner))
		}
		if stored := s.Secrets(); len(stored) != 1 {
			t.Errorf("stored are %d secrets", len(stored))
		}
	})
}

func TestOfManyThatOverwriteNothingAllSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		backends, errs := createTogether(t, s, core.AnyVersion)
		for i, err := range errs {
			if err != nil {
				t.Errorf("Save by %d = %v", i, err)
			}
		}
		stored := s.Secrets()
		if len(stored) != 1 {
			t.Fatalf("stored are %d secrets", len(stored))
		}
		for _, b := range backends {
			mustLoad(t, b, "ana", stored[0].Value)
		}
	})
}

// late has one process create a record between another's first look and its
// creation, and returns what that other one gets. Of the two either may have
// the lesser id.
func late(ctx context.Context, t *testing.T, s *bitwardentest.Server, over core.Version, then func()) error {
	first, second := openFirst(t, s), openFirst(t, s)
	create := make(chan struct{})
	s.Inject(bitwardentest.Create, bitwardentest.Fault{Hold: create})
	done := make(chan error, 1)
	go func() {
		_, err := second.Save(ctx, "ana", core.Record{Data: []byte("late"), Version: over})
		done <- err
	}()
	if err := s.Await(t.Context(), bitwardentest.Create, 1); err != nil {
		t.Fatal(err)
	}
	mustSave(t, first, "ana", "early", core.Absent)
	then()
	close(create)
	return <-done
}

func TestTheLaterOfTwoCreatorsWithdraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 10 {
			s := bitwardentest.New(bitwardentest.Options{})
			if err := late(t.Context(), t, s, core.Absent, func() {}); !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save with Absent = %v, want core.ErrConflict", err)
			}
			mustLoad(t, openFirst(t, s), "ana", "early")

			s = bitwardentest.New(bitwardentest.Options{})
			if err := late(t.Context(), t, s, core.AnyVersion, func() {}); err != nil {
				t.Errorf("Save with AnyVersion = %v", err)
			}
			mustLoad(t, openFirst(t, s), "ana", "late")
		}
	})
}

// A creation whose result can't be told or undone is an error, and the secret stays.
func TestACreationThatCannotBeSettledIsAnErrorAndKeepsTheSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bitwardentest.New(bitwardentest.Options{})
		err := late(t.Context(), t, s, core.Absent, func() { s.Inject(bitwardentest.Delete, bitwardentest.Unavailable()) })
		var duplicate *bitwarden.DuplicateError
		if !errors.As(err, &duplicate) || !status(503)(err) || errors.Is(err, core.ErrConflict) {
			t.Fatalf("without a Delete: %v, want the server's 503 and a DuplicateError", err)
		}
		stored := s.Secrets()
		if len(stored) != 2 || !slices.Equal(duplicate.IDs, []string{stored[0].ID, stored[1].ID}) || stored[1].Value != "late" {
			t.Errorf("stored is %+v, the error names %q", stored, duplicate.IDs)
		}
		if _, err := openFirst(t, s).Load(t.Context(), "ana"); !errors.As(err, &duplicate) {
			t.Errorf("Load = %v, want a DuplicateError", err)
		}

		s = bitwardentest.New(bitwardentest.Options{})
		b := openFirst(t, s)
		s.Inject(bitwardentest.List, bitwardentest.Fault{}, bitwardentest.Unavailable())
		if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("1"), Version: core.Absent}); !status(503)(err) {
			t.Errorf("without a second look: %v, want the server's 503", err)
		}
		mustLoad(t, b, "ana", "1")

		// The one that may wait for the other to go, and whose caller doesn't.
		for range 10 {
			s = bitwardentest.New(bitwardentest.Options{})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			begun := time.Now()
			err := late(ctx, t, s, core.Absent, func() {})
			cancel()
			if took := time.Since(begun); took > 50*time.Millisecond {
				t.Errorf("a Save for 50 ms took %v", took)
			}
			stored := s.Secrets()
			if waits := len(stored) == 2 && stored[1].ID < stored[0].ID; waits && !errors.Is(err, context.DeadlineExceeded) || !waits && !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save until a deadline = %v; stored is %+v", err, stored)
			}
		}
	})
}

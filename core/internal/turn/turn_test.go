package turn

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestSoManyHaveTheirTurnAndNoMore(t *testing.T) {
	const most = 3
	client, another := new(int), new(int)
	var back []func()
	take := func(resource any) {
		t.Helper()
		done, err := Take(t.Context(), resource, most)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, done)
	}
	for range most {
		take(client)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := Take(gone, client, most); !errors.Is(err, context.Canceled) {
		t.Errorf("one more turn than there are: %v", err)
	}
	take(another) // others don't wait for this client
	back[0]()
	take(client)
	for _, done := range back[1:] {
		done()
	}
	if len(queues.of) != 0 {
		t.Error("a queue that nobody is in is kept")
	}
}

func TestTurnsComeInTheOrderOfTheRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := new(int)
		first, err := Take(t.Context(), client, 1)
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 100 {
			go func() {
				done, err := Take(t.Context(), client, 1)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				done()
			}()
			synctest.Wait()
		}
		first()
		synctest.Wait()
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("the order is %v", order)
		}
	})
}

func TestWithoutABoundNobodyWaitsForATurn(t *testing.T) {
	for range 100 {
		if _, err := Take(t.Context(), new(int), 0); err != nil {
			t.Fatal(err)
		}
	}
}

package backend_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/graphtoken/graphtoken/core/backend"
)

func TestReadersLeaveAQuarterOfAPoolToHolders(t *testing.T) {
	for connections, turns := range map[int]int{1: 1, 2: 1, 4: 3, 10: 7, 20: 15} {
		t.Run(fmt.Sprintf("of %d connections they use %d", connections, turns), func(t *testing.T) {
			pool := new(int)
			for range turns {
				done, err := backend.PoolTurn(t.Context(), pool, connections)
				if err != nil {
					t.Fatal(err)
				}
				defer done()
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := backend.PoolTurn(ctx, pool, connections); !errors.Is(err, context.Canceled) {
				t.Errorf("there is one turn more: %v", err)
			}
		})
	}
}

func TestAPoolWithoutALimitHasNoTurns(t *testing.T) {
	pool := new(int)
	for range 1000 {
		if _, err := backend.PoolTurn(t.Context(), pool, 0); err != nil {
			t.Fatal(err)
		}
	}
}

package memory_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

func TestStorm(t *testing.T) {
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(os.Getenv("N"))
	r := storm.Run(t, storm.Options{Users: max(n, 1000), Stores: 8, Shuffled: os.Getenv("SHUFFLED") != ""}, func() core.TokenBackend { return b })
	t.Log(r)
}

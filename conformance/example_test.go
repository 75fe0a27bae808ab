package conformance_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

// careless is a backend with a fault: Save doesn't compare versions, so the last
// writer wins.
type careless struct {
	core.Uncoordinated
	mu      sync.Mutex
	records map[string]core.Record
	saves   int
}

func (b *careless) Open(conformance.T) core.TokenBackend { return b }

func (b *careless) Load(ctx context.Context, key string) (core.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, ok := b.records[key]
	if !ok {
		return core.Record{}, core.ErrNotFound
	}
	record.Data = append(core.Data(nil), record.Data...)
	return record, nil
}

func (b *careless) Save(ctx context.Context, key string, record core.Record) (core.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saves++
	record.Version = core.Version(strconv.Itoa(b.saves))
	record.Data = append(core.Data(nil), record.Data...)
	b.records[key] = record
	return record.Version, nil
}

func (b *careless) Check(ctx context.Context, key string) (bool, error) {
	_, err := b.Load(ctx, key)
	return err == nil, nil
}

func (b *careless) Delete(ctx context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.records, key)
	return nil
}

// Check runs the suite in a program. Here it finds a backend that claims to compare versions, and
// doesn't. In a test, Run does the same with a subtest for each case.
func ExampleCheck() {
	report, err := conformance.Check(context.Background(), conformance.Harness{
		Name: "careless",
		New: func(conformance.T) conformance.Env {
			return &careless{records: map[string]core.Record{}}
		},
		Want: conformance.Capabilities{CAS: conformance.CASEnforced},
	})
	fmt.Println("the backend conforms:", err == nil)
	for _, result := range report.Cases {
		if result.Name == "versions/stale" {
			fmt.Println(result.Outcome+":", result.Requirement)
		}
	}
	// Output:
	// the backend conforms: false
	// failed: Save with a version that is no longer stored returns ErrConflict and changes nothing, neither data nor version.
}

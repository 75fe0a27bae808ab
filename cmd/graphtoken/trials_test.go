package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/stores"
)

// A case that hangs is left behind, and doesn't clean up after itself.
func TestTheTrialsOfCasesThatAreLeftBehindAreRemovedAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	at, err := openStore(t.Context(), "--store", filepath.Join(dir, "tokens.json"), stores.Options{}, oneRecord)
	if err != nil {
		t.Fatal(err)
	}
	trials := &trials{place: at}
	for range 2 {
		handle, err := trials.add().open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := handle.Backend.Save(t.Context(), "k", core.Record{Data: trialData(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Fatalf("before the end: %v, %v", entries, err)
	}
	if err := trials.end(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("at the end: %v, %v", entries, err)
	}
}

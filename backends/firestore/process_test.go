package firestore_test

import (
	"os"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

var emulator firestoretest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	emulator.Stop()
	os.Exit(code)
}

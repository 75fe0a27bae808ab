package filesystem_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
)

// A key is the name of its file. A file that another program left there
// is read, or called broken, and never taken for a missing token.
func Example() {
	dir, err := os.MkdirTemp("", "tokens-*")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	backend, err := filesystem.New(dir, filesystem.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, found := range []string{`{"AccessToken": {}}`, `{"AccessToken": {`, ``} {
		if err := os.WriteFile(filepath.Join(dir, filesystem.DefaultKey), []byte(found), 0o600); err != nil {
			fmt.Println(err)
			return
		}
		record, err := backend.Load(ctx, filesystem.DefaultKey)
		fmt.Printf("%q %t\n", string(record.Data), errors.Is(err, core.ErrCorrupt))
	}
	// Output:
	// "{\"AccessToken\": {}}" false
	// "" true
	// "" true
}

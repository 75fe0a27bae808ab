package filesystem_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
)

func Example() {
	home, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)

	backend, err := filesystem.New(filepath.Join(home, ".graphtoken"), filesystem.Options{})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	version, err := backend.Save(ctx, filesystem.DefaultKey, core.Record{Data: []byte("{}"), Version: core.Absent})
	if err != nil {
		panic(err)
	}
	record, err := backend.Load(ctx, filesystem.DefaultKey)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %t\n", record.Data, record.Version == version)
	// Output: {} true
}

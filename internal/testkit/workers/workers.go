// Package workers makes processes of a test's own binary: packages crew and storm
// run it again, with a task in a variable.
package workers

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/graphtoken/graphtoken/core"
)

// Work makes this process a worker, if variable holds a task, and then ends it.
// Otherwise it returns at once.
func Work(variable string, work func(task string) error) {
	task, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	if err := work(task); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Open reaches the store that a task names: open gets what the test said of it, which
// went through JSON.
func Open[W any](said json.RawMessage, open func(where W) (core.TokenBackend, error)) (core.TokenBackend, error) {
	var where W
	if err := json.Unmarshal(said, &where); err != nil {
		return nil, err
	}
	return open(where)
}

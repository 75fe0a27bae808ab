//go:build cgo

package sdk

import (
	"os"
	"strings"
	"sync"

	official "github.com/bitwarden/sdk-go"
)

// runner is the SDK's command runner with two additions. It may be closed while a command
// runs; the SDK would free the command's memory. And it logs in again if the server no
// longer accepts a login that hasn't expired.
type runner struct {
	runner official.CommandRunnerInterface
	logIns []func() error // tried in turn when the server refuses the bearer token
	free   func()         // called once, after the last command

	mu      sync.Mutex
	running int
	closed  bool
}

// unauthorized is the beginning of the SDK's answer when a bearer token was refused.
const unauthorized = `{"success":false,"errorMessage":"Received error message from server: [401 Unauthorized]`

// RunCommand implements the SDK's interface.
func (r *runner) RunCommand(command official.Command) (string, error) {
	var response string
	err := r.run(func() (err error) {
		response, err = r.runner.RunCommand(command)
		for _, logIn := range r.logIns {
			if err != nil || !strings.HasPrefix(response, unauthorized) || logIn() != nil {
				break
			}
			response, err = r.runner.RunCommand(command)
		}
		return err
	})
	return response, err
}

func (r *runner) run(command func() error) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return os.ErrClosed
	}
	r.running++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running--
		if r.closed && r.running == 0 {
			r.free()
		}
	}()
	return command()
}

func (r *runner) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed && r.running == 0 {
		r.free()
	}
	r.closed = true
}

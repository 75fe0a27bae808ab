//go:build cgo

package sdk

import (
	"errors"
	"os"
	"testing"

	official "github.com/bitwarden/sdk-go"
)

type command func() (string, error)

func (c command) RunCommand(official.Command) (string, error) { return c() }

func TestFreedOnceAfterTheLastCommand(t *testing.T) {
	freed := 0
	r := &runner{free: func() { freed++ }}
	r.runner = command(func() (string, error) {
		r.close()
		r.close()
		if freed != 0 {
			t.Error("freed while a command runs")
		}
		return "", nil
	})
	if _, err := r.RunCommand(official.Command{}); err != nil || freed != 1 {
		t.Errorf("a command during which it is closed: %v, freed %d times", err, freed)
	}
	if _, err := r.RunCommand(official.Command{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a command afterwards: %v", err)
	}
	if r.close(); freed != 1 {
		t.Errorf("freed %d times", freed)
	}
	idle := &runner{free: func() { freed++ }}
	if idle.close(); freed != 2 {
		t.Error("not freed when nothing runs")
	}
}

func TestOnlyARefusedLoginIsRenewed(t *testing.T) {
	for _, response := range []string{
		`{"success":true,"data":{"value":"Received error message from server: [401 Unauthorized]"}}`,
		`{"success":false,"errorMessage":"Received error message from server: [404 Not Found] [401 Unauthorized]"}`,
	} {
		calls := 0
		r := &runner{
			runner: command(func() (string, error) { calls++; return response, nil }),
			logIns: []func() error{func() error { t.Errorf("a login after %s", response); return nil }},
		}
		if got, err := r.RunCommand(official.Command{}); got != response || err != nil || calls != 1 {
			t.Errorf("%d calls answered %s, %v", calls, got, err)
		}
	}
}

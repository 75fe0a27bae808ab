package keychain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/zalando/go-keyring"
)

// system is the operating system's keychain. Tests replace it.
var system store = operatingSystem{}

// store is what this package needs of a keychain. Its methods block, a prompt's time included.
type store interface {
	Get(service, account string) (string, error)
	Set(service, account, text string) error
	Delete(service, account string) error
}

type operatingSystem struct{}

func (operatingSystem) Get(service, account string) (string, error) {
	if err := sessionBus(); err != nil {
		return "", err
	}
	return keyring.Get(service, account)
}

func (operatingSystem) Set(service, account, text string) error {
	if err := sessionBus(); err != nil {
		return err
	}
	return keyring.Set(service, account, text)
}

func (operatingSystem) Delete(service, account string) error {
	if err := sessionBus(); err != nil {
		return err
	}
	return keyring.Delete(service, account)
}

// sessionBus returns an error where a Secret Service would be needed and there is no session bus
// to find one by. The D-Bus library would start a bus of its own otherwise, with no
// service on it, that outlives this process. It looks where that library looks.
func sessionBus() error {
	switch runtime.GOOS {
	case "linux", "freebsd", "netbsd", "openbsd", "dragonfly":
	default:
		return nil
	}
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" && address != "autolaunch:" {
		return nil
	}
	for _, name := range []string{"bus", "dbus-session"} {
		if _, err := os.Stat(filepath.Join("/run/user", strconv.Itoa(os.Getuid()), name)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: no D-Bus session bus runs", ErrNoKeychain)
}

// ask calls the keychain, and waits for a bounded time.
func (s *settings) ask(ctx context.Context, call func() (string, error)) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%w within %v; is it showing a prompt?", ErrNoAnswer, s.timeout))
	defer cancel()
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := call()
		answers <- answer{text, classify(err)}
	}()
	select {
	case a := <-answers:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// classify says what an error of the keychain means. The library has words alone for what the
// Secret Service tells it: that a prompt to unlock was dismissed, or couldn't be shown.
func classify(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNoKeychain):
		return err
	case errors.Is(err, keyring.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrKeyGone, err)
	case errors.Is(err, keyring.ErrUnsupportedPlatform):
		return fmt.Errorf("%w: %w", ErrNoKeychain, err)
	case strings.Contains(err.Error(), "failed to unlock"):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case strings.Contains(err.Error(), "was not provided by any .service files"): // org.freedesktop.DBus.Error.ServiceUnknown
		return fmt.Errorf("%w: no Secret Service is on the session bus: %w", ErrNoKeychain, err)
	}
	return err
}

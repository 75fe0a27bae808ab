//go:build linux

package keychain_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/graphtoken/graphtoken/crypto/keychain"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// The session has a bus of its own, on which nothing is started by being asked for: a test
// says what is there.
const busConfiguration = `<busconfig>
  <type>session</type>
  <listen>unix:dir=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

const inSession = "GRAPHTOKEN_KEYCHAIN_SESSION"

// TestTheRealSecretService runs the tests of type session below, each in a D-Bus session of its own.
func TestTheRealSecretService(t *testing.T) {
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			peer.Missing(t, "keychain", program+" is not installed: scripts/servers-keychain installs it")
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range sessions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "session") // a socket's name must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			configuration := filepath.Join(dir, "bus.conf")
			if err := os.WriteFile(configuration, fmt.Appendf(nil, busConfiguration, dir), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--config-file="+configuration, "--", exe, "-test.run=^TestInASession$", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), inSession+"="+name, "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_RUNTIME_DIR="+dir, "XDG_CONFIG_HOME="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestInASession is a part of TestTheRealSecretService, which runs the part in a D-Bus
// session.
func TestInASession(t *testing.T) {
	name, ok := os.LookupEnv(inSession)
	if !ok {
		return
	}
	bus, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	sessions[name](&session{T: t, bus: bus, o: keychain.Options{Dir: t.TempDir(), Timeout: testkit.Patience}})
}

// session is a test within a D-Bus session.
type session struct {
	*testing.T
	bus *dbus.Conn
	o   keychain.Options
}

var sessions = map[string]func(s *session){
	"the keychain is unlocked":                (*session).unlocked,
	"the keychain is locked":                  (*session).locked,
	"there is no keychain":                    (*session).missing,
	"a prompt is shown that nobody answers":   (*session).prompting,
	"the keychain is frozen, and then awakes": (*session).slow,
}

// daemon runs GNOME Keyring, unlocked with the password that made its login keyring, or
// locked, as after a login without a password.
func (s *session) daemon(unlocked bool) *testkit.Process {
	s.Helper()
	cmd := exec.Command("gnome-keyring-daemon", "--foreground", "--components=secrets")
	if unlocked {
		cmd.Args = append(cmd.Args, "--unlock")
		cmd.Stdin = strings.NewReader("password")
	}
	daemon := testkit.Start(s, cmd, os.Kill)
	daemon.Await(s, func() error {
		var there bool
		if err := s.bus.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&there); err != nil {
			return err
		}
		if !there {
			return errors.New("there is no Secret Service yet")
		}
		if !unlocked {
			return nil
		}
		// The daemon is there before its login keyring is.
		locked, err := s.bus.Object("org.freedesktop.secrets", "/org/freedesktop/secrets/collection/login").GetProperty("org.freedesktop.Secret.Collection.Locked")
		if err == nil && locked.Value() != false {
			err = errors.New("the login keyring isn't unlocked yet")
		}
		return err
	})
	return daemon
}

// lock ends the unlocked daemon, and starts one that isn't.
func (s *session) lock(unlocked *testkit.Process) {
	s.Helper()
	unlocked.End(s, syscall.SIGTERM)
	testkit.Until(s, "the bus forgets the former daemon", func() bool {
		var there bool
		err := s.bus.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&there)
		return err == nil && !there
	})
	s.daemon(false)
}

func (s *session) unlocked() {
	s.daemon(true)
	first, place := open(s.T, s.o)
	if again, _ := open(s.T, s.o); again.ID() != first.ID() || place.File != "" {
		s.Errorf("the key is %v at %v, and was %v", again, place, first)
	}
}

func (s *session) locked() {
	daemon := s.daemon(true)
	open(s.T, s.o)
	s.lock(daemon)
	s.o.AllowFile = true
	wantError(s.T, s.o, keychain.ErrLocked)
	s.o.Dir = s.TempDir()
	if _, place := open(s.T, s.o); !strings.Contains(place.Because, keychain.ErrLocked.Error()) {
		s.Errorf("a new key is at %v", place)
	}
}

func (s *session) missing() {
	wantError(s.T, s.o, keychain.ErrNoKeychain)
	s.o.AllowFile = true
	if _, place := open(s.T, s.o); !strings.Contains(place.Because, keychain.ErrNoKeychain.Error()) {
		s.Errorf("a new key is at %v", place)
	}
}

// prompter is what GNOME Keyring asks to show prompts. It shows none.
type prompter struct{ asked chan struct{} }

// BeginPrompting implements org.gnome.keyring.internal.Prompter.
func (p prompter) BeginPrompting(dbus.ObjectPath) *dbus.Error {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	return nil
}

func (s *session) prompting() {
	daemon := s.daemon(true)
	open(s.T, s.o)
	s.lock(daemon)
	p := prompter{make(chan struct{}, 1)}
	if err := s.bus.Export(p, "/org/gnome/keyring/Prompter", "org.gnome.keyring.internal.Prompter"); err != nil {
		s.Fatal(err)
	}
	if _, err := s.bus.RequestName("org.gnome.keyring.SystemPrompter", dbus.NameFlagDoNotQueue); err != nil {
		s.Fatal(err)
	}
	s.o.Timeout = time.Second
	wantError(s.T, s.o, keychain.ErrNoAnswer)
	select {
	case <-p.asked:
	case <-time.After(testkit.Patience):
		s.Error("no prompt was to be shown")
	}
}

func (s *session) slow() {
	daemon := s.daemon(true)
	first, _ := open(s.T, s.o)
	daemon.Signal(s, syscall.SIGSTOP)
	impatient := s.o
	impatient.Timeout = 100 * time.Millisecond
	wantError(s.T, impatient, keychain.ErrNoAnswer)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if again, _, err := keychain.Open(s.Context(), "mail", s.o); err != nil || again.ID() != first.ID() {
			s.Errorf("after its sleep the keychain has %v, %v", again, err)
		}
	}()
	daemon.Signal(s, syscall.SIGCONT)
	<-answered
}

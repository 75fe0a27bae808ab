package main_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// examine runs the doctor, and returns the findings that are no good news.
func (w *world) examine(code int, args ...string) string {
	w.t.Helper()
	r := w.run(append([]string{"doctor", "--json"}, args...)...)
	var report struct {
		Findings []struct{ Check, Severity, Fact, Advice string }
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != code {
		w.t.Fatalf("doctor %v: exit code %d, want %d, %v\n%s\n%s", args, r.code, code, err, r.out, r.err)
	}
	var bad []string
	for _, f := range report.Findings {
		if f.Severity != "ok" {
			bad = append(bad, f.Severity+" "+f.Check+" "+f.Fact)
			if f.Advice == "" {
				w.t.Errorf("it isn't said what to do: %+v", f)
			}
		}
	}
	return strings.Join(bad, "\n")
}

// finds expects the doctor's exit code for the store at a URL, or for that of the environment
// if url is empty; and each of want among the findings that are no good news, which are none
// if want is empty.
func (w *world) finds(code int, url string, want ...string) (bad string) {
	w.t.Helper()
	var args []string
	if url != "" {
		args = append(args, url)
	}
	bad = w.examine(code, args...)
	if len(want) == 0 && bad != "" {
		w.t.Errorf("the doctor finds\n%s", bad)
	}
	shows(w.t, "the doctor", bad, want...)
	return bad
}

func TestADoctorFindsNothingWrongWithASoundStoreAndLeavesNothingThere(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	before, err := os.ReadDir(filepath.Dir(w.file()))
	if err != nil {
		t.Fatal(err)
	}
	w.finds(0, "")
	if after, err := os.ReadDir(filepath.Dir(w.file())); err != nil || len(after) != len(before) {
		t.Errorf("before %v, after %v, %v", before, after, err)
	}
	database := filepath.Join(w.dir, "t.db")
	w.ok("copy", w.file(), "sqlite://"+database)
	w.finds(0, "sqlite://"+database)
	if names := w.ok("list", "--names", "--store", "sqlite://"+database); names != "tokens.json" {
		t.Errorf("the doctor left %q", names)
	}
}

func TestADoctorFindsWhatIsBroken(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	for _, c := range []struct {
		name string
		harm func(w *world) (args []string)
		code int
		want string
	}{
		{"a file that others can read", func(w *world) []string {
			_ = os.Chmod(w.file(), 0o644)
			return nil
		}, 5, "others can read"},
		{"a record that is a link", func(w *world) []string {
			_ = os.Rename(w.file(), w.file()+".real")
			_ = os.Symlink(w.file()+".real", w.file())
			return nil
		}, 1, "is a link"},
		{"a directory in which others can put files", func(w *world) []string {
			_ = os.Chmod(filepath.Dir(w.file()), 0o777)
			return nil
		}, 5, "directory"},
		{"a record that is torn", func(w *world) []string {
			_ = os.WriteFile(w.file(), []byte(`{"AccessToken":`), 0o600)
			return nil
		}, 5, "record tokens.json"},
		{"keys that others can read", func(w *world) []string {
			keyFile, _ := newKeyFile(w.t, w)
			_ = os.Chmod(keyFile, 0o644)
			return []string{"--key-file", keyFile}
		}, 5, "keys"},
		{"keys that others can read, and that are accepted", func(w *world) []string {
			keyFile, _ := newKeyFile(w.t, w)
			w.ok("refresh", "--key-file", keyFile, "--plaintext-reads")
			_ = os.Chmod(keyFile, 0o640)
			return []string{"--key-file", keyFile, "--shared-key-file"}
		}, 1, "keys --key-file: others can read"},
		{"a secret that others can exchange", func(w *world) []string {
			dir := filepath.Join(w.dir, "shared")
			_ = os.Mkdir(dir, 0o700)
			_ = os.Chmod(dir, 0o777)
			_ = os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cret"), 0o600)
			return []string{"--client-secret-file", filepath.Join(dir, "secret")}
		}, 1, "secrets --client-secret-file"},
		{"a key in a file instead of the keychain", func(w *world) []string {
			w.set("DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere")
			w.ok("refresh", "--keychain", "doctor", "--keychain-file", "--plaintext-reads")
			return []string{"--keychain", "doctor", "--keychain-file"}
		}, 1, "keys "},
		{"a variable in a dotenv file", func(w *world) []string {
			w.ok("copy", w.file(), "env://TOKENS?file="+filepath.Join(w.dir, "store", "app.env"))
			return []string{"env://TOKENS?file=" + filepath.Join(w.dir, "store", "app.env")}
		}, 1, "of two processes that save at the same time"},
		{"a variable", func(w *world) []string {
			data, _ := os.ReadFile(w.file())
			w.set("TOKENS=" + string(data))
			return []string{"env://TOKENS"}
		}, 1, "can't be saved to"},
		{"a server that isn't there", func(*world) []string { return []string{"redis://127.0.0.1:1/0"} }, 5, "error reach"},
		{"a provider that isn't there", func(*world) []string { return []string{"--authority", "https://127.0.0.1:1/common"} }, 1, "provider"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.login(ana)
			if bad := w.examine(c.code, c.harm(w)...); !strings.Contains(bad, c.want) {
				t.Errorf("the doctor finds\n%s", bad)
			}
		})
	}
}

// The commands of the advice run as they stand.
func TestADoctorsAdviceNamesTheUserTheRecordAndTheStore(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.age(61 * 24 * time.Hour)
	dir := filepath.Dir(w.file())
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""}, // the store comes from the environment
		{[]string{w.file()}, " --store " + w.file()},
		{[]string{dir + "/"}, " --store " + w.file()},
		{[]string{"file://" + dir + "/"}, " --store file://" + dir + "/#tokens.json"},
		{[]string{"--store", "file://" + w.file()}, " --store file://" + w.file()},
	} {
		r, command := w.run(append([]string{"doctor"}, c.args...)...), "graphtoken refresh --user "+ana+c.want
		if !strings.Contains(r.out, command+"\n") {
			t.Errorf("doctor %v doesn't say %q, but\n%s", c.args, command, r.out)
		}
	}
}

func TestADoctorThatIsInterruptedLeavesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such signals")
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a provider that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	w := newWorld(t)
	w.login(ana)
	p := w.start("doctor", "--authority", "https://"+silent.Addr().String()+"/common")
	trials := func() []string {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(w.file()), "graphtoken-doctor-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	testkit.Until(t, "the doctor has begun its trial", func() bool { return len(trials()) > 0 })
	_ = p.Process.Signal(os.Interrupt)
	if r := p.end(w); r.code != 130 || r.out != "" {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	if left := trials(); left != nil {
		t.Errorf("the doctor left %v", left)
	}
}

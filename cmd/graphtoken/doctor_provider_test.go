package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADoctorAsksTheProvidersOfTheRecordsUsers(t *testing.T) {
	const microsofts = "login.microsoftonline."
	for _, c := range []struct {
		name    string
		arrange func(w *world) (args []string)
		code    int
		has     string
		lacks   string
	}{
		{"one that is trusted on this machine, and not Microsoft's", func(w *world) []string {
			w.login(ana)
			w.forgetEnvironment()
			return nil
		}, 0, "ok      clock: this machine's clock agrees with that of IDP", microsofts},
		{"the one that --authority names, whatever the records have", func(w *world) []string {
			w.hold(entry{ana, "login.microsoftonline.us", "common", "app", "of-us"})
			return nil
		}, 0, "agrees with that of IDP", microsofts},
		{"Microsoft's, of a record with users there", func(w *world) []string {
			w.forgetEnvironment()
			w.hold(entry{ana, "login.microsoftonline.us", "common", "app", "of-us"})
			return nil
		}, 1, "provider: login.microsoftonline.us: ", "login.microsoftonline.com"},
		{"Microsoft's, if nothing is stored", func(w *world) []string {
			w.forgetEnvironment()
			return nil
		}, 1, "provider: login.microsoftonline.com: ", "IDP"},
		{"none that isn't trusted, which is all that is said", func(w *world) []string {
			w.forgetEnvironment()
			evil, received := w.listener()
			w.forgetEnvironment()
			w.hold(entry{ana, evil, "common", "app", "of-evil"})
			w.t.Cleanup(func() {
				if n := received.Load(); n != 0 {
					w.t.Errorf("the provider of somebody else got %d requests", n)
				}
			})
			return nil
		}, 1, "provider: the record names an identity provider that you haven't named on this machine", "clock: "},
		{"none of a record that can't be read", func(w *world) []string {
			w.login(ana)
			w.forgetEnvironment()
			_ = os.WriteFile(w.file(), []byte(`{"AccessToken":`), 0o600)
			return nil
		}, 5, "error   record tokens.json", microsofts},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.set("HTTPS_PROXY=http://127.0.0.1:1") // no test asks Microsoft; the proxy isn't used for this machine
			r := w.run(append([]string{"doctor"}, c.arrange(w)...)...)
			host := strings.TrimPrefix(w.idp.URL(), "https://")
			has, lacks := strings.ReplaceAll(c.has, "IDP", host), strings.ReplaceAll(c.lacks, "IDP", host)
			out := strings.ReplaceAll(r.out, "store's clock", "")
			if r.code != c.code || !strings.Contains(out, has) || strings.Contains(out, lacks) {
				t.Errorf("exit code %d, want %d with %q and without %q:\n%s", r.code, c.code, has, lacks, r.out)
			}
		})
	}
}

func TestADoctorDoesNotSayOkOfRecordsNoneOfWhichCanBeRead(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	if out := w.ok("doctor"); !strings.Contains(out, "ok      records: 1 can be read") {
		t.Errorf("of a sound store, the doctor finds\n%s", out)
	}
	_ = os.WriteFile(w.file(), []byte(`{"AccessToken":`), 0o600)
	if out := w.fails(5, "doctor").out; strings.Contains(out, "ok      records") {
		t.Errorf("the doctor finds\n%s", out)
	}
	w.set("GRAPHTOKEN_STORE=" + filepath.Join(w.dir, "empty", "tokens.json"))
	if out := w.ok("doctor"); !strings.Contains(out, "ok      records: 0 can be read") {
		t.Errorf("of an empty store, the doctor finds\n%s", out)
	}
}

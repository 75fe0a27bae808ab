package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// age makes everything in the record older.
func (w *world) age(by time.Duration) {
	w.t.Helper()
	data, err := os.ReadFile(w.file())
	if err != nil {
		w.t.Fatal(err)
	}
	var record map[string]map[string]map[string]any
	if err := json.Unmarshal(data, &record); err != nil {
		w.t.Fatal(err)
	}
	at := time.Now().Add(-by)
	for section, entries := range record {
		for _, entry := range entries {
			switch section {
			case "AccessToken":
				entry["cached_at"], entry["expires_on"] = fmt.Sprint(at.Unix()), fmt.Sprint(at.Add(time.Hour).Unix())
				delete(entry, "refresh_on")
				delete(entry, "extended_expires_on")
			case "RefreshToken":
				entry["last_modification_time"] = fmt.Sprint(at.Unix())
			}
		}
	}
	if data, err = json.Marshal(record); err != nil {
		w.t.Fatal(err)
	}
	w.holdData(data)
}

func TestLogoutAllRemovesEverybody(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.login(bo)
	w.fails(2, "logout", "--all", "--user", ana)
	if r := w.run("logout", "--all"); r.code != 0 || !strings.Contains(r.err, ana) || !strings.Contains(r.err, bo) {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	if _, err := os.Stat(w.file()); err == nil {
		t.Error("the record is still there")
	}
	w.fails(3, "logout", "--all")
}

func TestPurgeRemovesOnlyUsersWhoseTokensAreOfNoUseAndShowsThemFirst(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.age(100 * 24 * time.Hour)
	w.login(bo)
	if out := w.ok("purge"); !strings.Contains(out, "would remove  "+ana) || strings.Contains(out, bo) {
		t.Errorf("purge shows %q", out)
	}
	if status := w.ok("status"); !strings.Contains(status, ana) {
		t.Error("purge removed a user without --delete")
	}
	if r := w.run("purge", "--unused", "50", "--store", w.file()); !strings.Contains(r.err, "graphtoken purge --delete --unused 50 --store "+w.file()+"\n") {
		t.Errorf("the next step is %s", r.err)
	}
	if out := w.ok("purge", "--unused", "200"); out != "" {
		t.Errorf("purge of 200 days shows %q", out)
	}
	if out := w.ok("purge", "--delete"); !strings.Contains(out, "removed  "+ana) {
		t.Errorf("purge --delete shows %q", out)
	}
	if status := w.ok("status"); strings.Contains(status, ana) || !strings.Contains(status, bo) {
		t.Errorf("afterwards the status is\n%s", status)
	}
	w.age(100 * 24 * time.Hour)
	w.ok("purge", "--delete")
	if _, err := os.Stat(w.file()); err == nil {
		t.Error("a record of nobody is still there")
	}
}

func TestRewrapReplacesTheKeyOfAllRecords(t *testing.T) {
	w := newWorld(t)
	oldFile, _ := newKeyFile(t, w)
	dir := filepath.Dir(w.file())
	w.login(ana, "--key-file", oldFile)
	w.login(bo, "--key-file", oldFile, "--store", "file:"+dir+"/#bo")
	token := w.ok("token", "--key-file", oldFile)
	newFile := filepath.Join(w.dir, "new")
	w.ok("keygen", newFile)
	newKey, err := os.ReadFile(newFile)
	if err != nil {
		t.Fatal(err)
	}
	oldKey, err := os.ReadFile(oldFile)
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(w.dir, "both")
	if err := os.WriteFile(both, append(newKey, oldKey...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.fails(2, "rewrap")
	w.fails(5, "rewrap", "--key-file", newFile)
	w.ok("rewrap", "--key-file", both, "--dry-run", "--store", "file:"+dir+"/")
	w.fails(5, "token", "--key-file", newFile)
	if out := w.ok("rewrap", "--key-file", both, "--store", "file:"+dir+"/"); strings.Count(out, "rewrapped  ") != 2 {
		t.Errorf("rewrap says %q", out)
	}
	if got := w.ok("token", "--key-file", newFile); got != token {
		t.Error("the token is another")
	}
	w.ok("token", "--key-file", newFile, "--store", "file:"+dir+"/#bo")
	if out := w.ok("rewrap", "--json", "--key-file", newFile, "--store", "file:"+dir+"/"); !strings.Contains(out, `"current": 2`) {
		t.Errorf("a second rewrap says %q", out)
	}
}

func TestKeepaliveRenewsWhatIsDueAndTellsWhoMustSignInAgain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the hook is for a Unix shell")
	}
	w := newWorld(t)
	w.login(ana)
	if r := w.run("keepalive"); r.code != 0 || !strings.Contains(r.err, "0 refresh tokens renewed, 1 young enough") {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	w.age(50 * 24 * time.Hour)
	told := filepath.Join(w.dir, "told")
	hook := `printf '%s %s %s' "$GRAPHTOKEN_USER" "$GRAPHTOKEN_RECORD" "$GRAPHTOKEN_EXPIRES_ON" >'` + told + `'`
	if r := w.run("keepalive", "--on-refresh", hook, "--on-reauth", "false"); r.code != 0 || !strings.Contains(r.err, "1 refresh tokens renewed") {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	expires := between(w.ok("token", "--format", "env"), "GRAPHTOKEN_EXPIRES_ON='", "'")
	if got, err := os.ReadFile(told); string(got) != ana+" tokens.json "+expires {
		t.Errorf("--on-refresh got %q, want %s, %v", got, expires, err)
	}
	w.age(50 * 24 * time.Hour)
	w.idp.Revoke(ana)
	r := w.run("keepalive", "--json", "--on-reauth", `printf '%s %s' "$GRAPHTOKEN_USER" "$GRAPHTOKEN_RECORD" >'`+told+`'`)
	if r.code != 4 || !strings.Contains(r.out, ana) {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
	}
	if got, err := os.ReadFile(told); string(got) != ana+" tokens.json" {
		t.Errorf("the hook got %q, %v", got, err)
	}
}

func TestKeepaliveAsADaemonGoesOnUntilItIsInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such signals")
	}
	w := newWorld(t)
	w.login(ana)
	p := w.start("keepalive", "--every", "1ms")
	for range 3 {
		p.line(t, "1 young enough")
	}
	_ = p.Process.Signal(os.Interrupt)
	if r := p.end(w); r.code != 130 {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
}

// Each script completes a command, the value of a flag, and a command below another.
func TestCompletionCompletesCommandsFlagsAndValues(t *testing.T) {
	w := newWorld(t)
	for shell, script := range map[string]string{
		"bash": `source "$1"
			try() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=(); _graphtoken; echo "${COMPREPLY[@]}"; }
			try graphtoken tok; try graphtoken token --format xo; try graphtoken agent sta; try graphtoken token --min; try graphtoken help sto`,
		"zsh": `compdef() { : }; compadd() { shift; for w in "$@"; do [[ $w == "$words[CURRENT]"* ]] && printf '%s ' $w; done }; _files() { : }
			source "$1"
			try() { words=("$@"); CURRENT=$#; _graphtoken; echo }
			try graphtoken tok; try graphtoken token --format xo; try graphtoken agent sta; try graphtoken token --min; try graphtoken help sto`,
		"fish": `source "$argv[1]"
			for line in "tok" "token --format xo" "agent sta" "token --min" "help sto"
				echo (complete -C "graphtoken $line" | string split -f1 \t)
			end`,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				peer.Wanted(t, shell, "install "+shell+", to try its completion")
			}
			file := filepath.Join(w.dir, "completion."+shell)
			if err := os.WriteFile(file, []byte(w.ok("completion", shell)), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"-c", script, "-", file}
			if shell == "fish" {
				args = []string{"--no-config", "-c", script, file}
			}
			cmd := exec.CommandContext(w.ctx, path, args...)
			cmd.Env = w.env
			out, err := cmd.CombinedOutput()
			lines := strings.Split(string(out), "\n")
			for i, want := range []string{"token", "xoauth2", "start status", "--min-validity", "stores"} {
				if i >= len(lines) || strings.TrimSpace(lines[i]) != want {
					t.Fatalf("line %d isn't %q (%v):\n%s", i, want, err, out)
				}
			}
		})
	}
	if script := w.ok("completion", "powershell"); !strings.Contains(script, "'agent stop' = @(") || !strings.Contains(script, "'--format' = @('text', 'header'") {
		t.Errorf("PowerShell's script is\n%s", script)
	}
	w.fails(2, "completion", "tcsh")
}

func TestTheManualHasEveryCommandAndEveryFlag(t *testing.T) {
	w := newWorld(t)
	page := w.ok("man")
	shows(t, "the manual", page, ".SS token", ".SS agent start", `\-\-min\-validity`, `\-u, \-\-user`, `redis+sentinel://`, "130")
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".T") && !strings.HasPrefix(line, ".S") && !strings.HasPrefix(line, ".B") && !strings.HasPrefix(line, ".PP") && !strings.HasPrefix(line, ".I") && !strings.HasPrefix(line, ".RI") && !strings.HasPrefix(line, ".nf") && !strings.HasPrefix(line, ".fi") {
			t.Errorf("a line of text would be a request: %s", line)
		}
	}
}

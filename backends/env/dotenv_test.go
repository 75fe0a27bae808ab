package env_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/core"
)

func TestOtherLinesOfADotEnvFileAreLeftAlone(t *testing.T) {
	const pem = "PEM=\"-----BEGIN\nO365TOKEN=not a variable\n-----END\"\n"
	for name, c := range map[string]struct{ before, saved, deleted string }{
		"no file": {
			"",
			"O365TOKEN='new'\n",
			"",
		},
		"comments, blank lines and the order stay": {
			"# ours\n\nB = 2 # two\nO365TOKEN=old # tail\n  A: yaml\n\n# end",
			"# ours\n\nB = 2 # two\nO365TOKEN='new'\n  A: yaml\n\n# end",
			"# ours\n\nB = 2 # two\n  A: yaml\n\n# end",
		},
		"a new variable follows a last line without its end": {
			"A=1",
			"A=1\nO365TOKEN='new'\n",
			"A=1\n",
		},
		"a value of several lines is one statement": {
			pem + "O365TOKEN='{\n}'\nZ=1\n",
			pem + "O365TOKEN='new'\nZ=1\n",
			pem + "Z=1\n",
		},
		"export stays": {
			"export O365TOKEN=\"old\"\nexport A=1\n",
			"export O365TOKEN='new'\nexport A=1\n",
			"export A=1\n",
		},
		"of two assignments one stays": {
			"O365TOKEN=1\nA=1\nO365TOKEN=2\n",
			"O365TOKEN='new'\nA=1\n",
			"A=1\n",
		},
		"Windows line ends stay": {
			"A=1\r\nO365TOKEN=old\r\nB=2\r\n",
			"A=1\r\nO365TOKEN='new'\nB=2\r\n",
			"A=1\r\nB=2\r\n",
		},
		"names that look alike are others": {
			"O365TOKEN2=2\nMY_O365TOKEN=1\n#O365TOKEN=3\n",
			"O365TOKEN2=2\nMY_O365TOKEN=1\n#O365TOKEN=3\nO365TOKEN='new'\n",
			"O365TOKEN2=2\nMY_O365TOKEN=1\n#O365TOKEN=3\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			if c.before != "" {
				write(t, path, c.before)
			}
			b := open(t, env.Options{DotEnv: path})
			save(t, b, env.DefaultKey, "new", core.AnyVersion)
			if got := read(t, path); got != c.saved {
				t.Errorf("saved:\n%q, want\n%q", got, c.saved)
			}
			if err := b.Delete(t.Context(), env.DefaultKey); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != c.deleted {
				t.Errorf("deleted:\n%q, want\n%q", got, c.deleted)
			}
		})
	}
}

func TestANewDotEnvFileIsPrivateAndLeavesNoLitter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".env")
	b := open(t, env.Options{DotEnv: path})
	for range 3 {
		save(t, b, env.DefaultKey, "{}", core.AnyVersion)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := b.Probe(t.Context(), env.DefaultKey); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

// A value of many lines is what MSAL writes in Python.
func TestAValueOfTwiceTheLinesTakesTwiceTheWork(t *testing.T) {
	line := map[string]string{
		"'": `    "a": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",`,
		`"`: `    \"a\": \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",`,
	}
	for quote, line := range line {
		work := func(lines int) uint64 {
			path := filepath.Join(t.TempDir(), ".env")
			write(t, path, "A=1\n"+env.DefaultKey+"="+quote+"{\n"+strings.Repeat(line+"\n", lines)+"}"+quote+"\nB=2\n")
			b := open(t, env.Options{DotEnv: path})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			save(t, b, env.DefaultKey, "{}", core.AnyVersion)
			runtime.ReadMemStats(&after)
			if got, want := read(t, path), "A=1\n"+env.DefaultKey+"='{}'\nB=2\n"; got != want {
				t.Errorf("the file is %q", got)
			}
			return after.TotalAlloc - before.TotalAlloc
		}
		work(10)
		if once, twice := work(500), work(1000); twice > 3*once {
			t.Errorf("between %s: %d bytes for 500 lines, and %d for 1000", quote, once, twice)
		}
	}
}

func TestProbeFindsWhatSaveCouldNotEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	write(t, path, "A=1 # of others\n"+env.DefaultKey+"='{}'\n")
	b := open(t, env.Options{DotEnv: path})
	if err := b.Probe(t.Context(), env.DefaultKey); err != nil {
		t.Error(err)
	}
	if got := read(t, path); got != "A=1 # of others\n"+env.DefaultKey+"='{}'\n" {
		t.Errorf("Probe changed the file: %q", got)
	}
	write(t, path, "not a 'dotenv\nfile")
	if err := b.Probe(t.Context(), env.DefaultKey); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("Probe of a broken file = %v", err)
	}
	for _, o := range []env.Options{{ReadOnly: true}, {ReadOnly: true, DotEnv: path}} {
		if err := open(t, o).Probe(t.Context(), env.DefaultKey); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("Probe of %+v = %v", o, err)
		}
	}
}

func TestALinkToADotEnvFileStaysALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "shared.env"), filepath.Join(dir, ".env")
	write(t, target, "A=1\n")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	save(t, open(t, env.Options{DotEnv: link}), env.DefaultKey, "{}", core.Absent)
	if got := read(t, target); got != "A=1\nO365TOKEN='{}'\n" {
		t.Errorf("the link's target holds %q", got)
	}
}

func TestADotEnvFileThatCantBeParsedIsCorruptAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	for _, text := range []string{"O365TOKEN='{\"secret\":\"hunter2\"", "hunter2!\nO365TOKEN='{}'\n"} {
		write(t, path, text)
		b := open(t, env.Options{DotEnv: path})
		for name, call := range calls(t.Context(), b, env.DefaultKey) {
			err := call()
			if name == "Acquire" || name == "Wait" { // they don't look at the file
				continue
			}
			if name == "Save" {
				_, err = b.Save(t.Context(), env.DefaultKey, core.Record{Data: []byte("{}"), Version: core.AnyVersion})
			}
			if !errors.Is(err, core.ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", name, err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s quotes the file: %v", name, err)
			}
		}
		if err := b.Ping(t.Context()); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("Ping: %v", err)
		}
		if got := read(t, path); got != text {
			t.Errorf("the file became %q", got)
		}
	}
}

func TestALineOfTwoVariablesIsNotEdited(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	const text = "A='1' O365TOKEN='{}'\n"
	write(t, path, text)
	b := open(t, env.Options{DotEnv: path})
	if got := load(t, b, env.DefaultKey); string(got.Data) != "{}" {
		t.Errorf("loaded %q", []byte(got.Data))
	}
	if _, err := b.Save(t.Context(), env.DefaultKey, core.Record{Data: []byte("x"), Version: core.AnyVersion}); err == nil {
		t.Error("Save worked")
	}
	if got := read(t, path); got != text {
		t.Errorf("the file became %q", got)
	}
}

func TestADotEnvFileThatCantBeReadIsNoMissingRecord(t *testing.T) {
	b := open(t, env.Options{DotEnv: t.TempDir()}) // a directory
	if _, err := b.Load(t.Context(), env.DefaultKey); err == nil || errors.Is(err, core.ErrNotFound) || !isOurs(err) {
		t.Errorf("Load: %v", err)
	}
	if ok, err := b.Check(t.Context(), env.DefaultKey); ok || err == nil || !isOurs(err) {
		t.Errorf("Check: %v, %v", ok, err)
	}
	if err := b.Ping(t.Context()); err == nil {
		t.Error("Ping found nothing to say")
	}
}

func TestPingWantsADirectoryToMakeTheFileIn(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, env.Options{DotEnv: filepath.Join(dir, ".env")}).Ping(t.Context()); err != nil {
		t.Errorf("no file yet: %v", err)
	}
	if err := open(t, env.Options{DotEnv: filepath.Join(dir, "none", ".env")}).Ping(t.Context()); err == nil {
		t.Error("no directory, and no error")
	}
}

func TestVariablesOfTheProcessAreNotTheFiles(t *testing.T) {
	t.Setenv(env.DefaultKey, "the process's")
	b := open(t, env.Options{DotEnv: filepath.Join(t.TempDir(), ".env")})
	if _, err := b.Load(t.Context(), env.DefaultKey); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load: %v", err)
	}
	save(t, b, env.DefaultKey, "the file's", core.Absent)
	if got := os.Getenv(env.DefaultKey); got != "the process's" {
		t.Errorf("the process's variable became %q", got)
	}
}

// MSAL for Python writes indented JSON, with all but ASCII escaped.
func TestIndentedJSONStandsInADotEnvFileAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	write(t, path, "A=1\nO365TOKEN=old\nB=2\n")
	const cache = "{\n    \"Account\": {\n        \"name\": \"Zo\\u00eb \\\"Z\\\"\"\n    }\n}"
	b := open(t, env.Options{DotEnv: path})
	for range 2 { // the second time over itself
		save(t, b, env.DefaultKey, cache, core.AnyVersion)
		if got, want := read(t, path), "A=1\nO365TOKEN='"+cache+"'\nB=2\n"; got != want {
			t.Errorf("the file holds\n%s\nwant\n%s", got, want)
		}
	}
}

func TestAShellReadsWhatIsSaved(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), ".env")
	b := open(t, env.Options{DotEnv: path})
	for _, data := range awkward {
		save(t, b, env.DefaultKey, data, core.AnyVersion)
		out, err := exec.Command(sh, "-c", `. "$1"; printf %s "$O365TOKEN"`, "sh", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(out); got != data && !strings.HasPrefix(got, "base64:") {
			t.Errorf("saved %q, the shell reads %q", data, got)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

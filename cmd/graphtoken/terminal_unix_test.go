//go:build linux || darwin

package main_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestCopyShowsABarAtATerminalAndPlainLinesElsewhere(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	data, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(filepath.Dir(w.file()), fmt.Sprint("r", i)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := w.command("copy", filepath.Dir(w.file())+"/", filepath.Join(w.dir, "there")+"/")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(terminal) // Linux ends a terminal with an error
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if text := string(shown); !strings.Contains(text, "21 of 21") || !strings.Contains(text, "100 %") || strings.Contains(text, "copied  r1") {
		t.Errorf("the terminal shows\n%q", text)
	}
	if lines := w.ok("copy", filepath.Dir(w.file())+"/", filepath.Join(w.dir, "there")+"/"); strings.Count(lines, "equal  ") != 21 || strings.Contains(lines, "\x1b") {
		t.Errorf("the lines are\n%q", lines)
	}
}

func TestConformanceShowsItsCasesInOneLineOfATerminal(t *testing.T) {
	w := newWorld(t)
	terminal, err := pty.StartWithSize(w.command("conformance", "--store", "file:kept/tokens.json"), &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	shown := ""
	for buffer := make([]byte, 4096); !strings.Contains(shown, ": basics/round-trip"); {
		n, err := terminal.Read(buffer)
		if err != nil {
			t.Fatalf("%v\n%q", err, shown)
		}
		shown += string(buffer[:n])
	}
	if strings.Count(shown, "\r\x1b[K") < 10 || strings.Contains(shown, "\n") {
		t.Errorf("the terminal shows\n%q", shown)
	}
	if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, terminal) // Linux ends a terminal with an error
}

// The terminal sends the interrupt, as it does for Ctrl-C.
func TestCtrlCInTheMiddleOfACopyLeavesWhatASecondCopyCompletes(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	data, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	const many = 2000
	from, to := filepath.Dir(w.file())+"/", filepath.Join(w.dir, "there")+"/"
	for i := range many {
		if err := os.WriteFile(filepath.Join(from, fmt.Sprint("r", i)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := w.command("copy", from, to)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(terminal)
		shown <- all
	}()
	testkit.Until(t, "a record that is copied", func() bool {
		entries, err := os.ReadDir(to)
		return err == nil && len(entries) > 1
	})
	if _, err := terminal.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code says it
	text := string(<-shown)
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(text, "call copy again") {
		t.Fatalf("exit code %d\n%s", cmd.ProcessState.ExitCode(), text)
	}
	w.ok("copy", from, to)
	if lines := w.ok("copy", from, to); strings.Count(lines, "equal  ") != many+1 {
		t.Errorf("%d records are equal, want %d", strings.Count(lines, "equal  "), many+1)
	}
}

// The browser is a program of the test, which is found before the system's.
func TestLoginAtATerminalOpensTheBrowserByItself(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems' browsers aren't found by their name")
	}
	w := newWorld(t)
	bin := filepath.Join(w.dir, "bin")
	opened := filepath.Join(w.dir, "opened")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nprintf %s \"$1\" >'" + opened + ".new' && mv '" + opened + ".new' '" + opened + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	w.set("PATH=" + bin + ":" + os.Getenv("PATH"))
	cmd := w.command("login", "--client-id", entra.PublicClient, "--scope", "User.Read")
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	shown := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(terminal)
		shown <- all
	}()
	var address []byte
	testkit.Until(t, "a browser that was started", func() bool {
		address, err = os.ReadFile(opened)
		return err == nil
	})
	if err := w.idp.BrowseAs(ana)(string(address)); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if text := string(<-shown); err != nil || !strings.Contains(text, "Signed in as "+ana) || !strings.Contains(text, "Waiting for the browser at http://localhost:") {
		t.Errorf("%v\n%s", err, text)
	}
}

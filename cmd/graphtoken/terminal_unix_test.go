//go:build linux || darwin

package main_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
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

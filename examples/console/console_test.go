package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/machine"
)

func TestMain(m *testing.M) {
	machine.Become(main)
	os.Exit(m.Run())
}

func TestTheFirstRunSignsInAndTheSecondNeedsNobody(t *testing.T) {
	idp := entra.Start(t, entra.Options{Strict: true, Users: []entra.User{{Username: entra.Ana, Name: "Ana Alves"}}})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // where os.UserConfigDir looks first

	first := machine.Start(t, idp, entra.PublicClient)
	redirect, err := idp.SignIn(first.Await("https://"))
	if err != nil {
		t.Fatal(err)
	}
	first.Await("Paste")
	first.Type("\n  <" + redirect + ">\n") // as a mail program copies it
	first.Await("Hello, Ana Alves!")
	first.Finish()

	if shown := machine.Start(t, idp, entra.PublicClient).Finish(); shown != "Hello, Ana Alves!\n" {
		t.Errorf("the second run shows %q", shown)
	}
}

func TestAUserWhoseSignInIsRevokedSignsInAgain(t *testing.T) {
	idp := entra.Start(t, entra.Options{Strict: true})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for range 2 {
		p := machine.Start(t, idp, entra.PublicClient)
		redirect, err := idp.SignIn(p.Await("https://"))
		if err != nil {
			t.Fatal(err)
		}
		p.Type(redirect + "\n")
		p.Await("Hello")
		p.Finish()
		idp.Revoke(entra.Ana) // as an administrator does
	}
}

func TestGettingStartedShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "getting-started.md"))
	if err != nil {
		t.Fatal(err)
	}
	if block := "```go\n" + string(program) + "```\n"; !bytes.Contains(page, []byte(block)) {
		t.Error("docs/getting-started.md should have examples/console/main.go as a Go block, word by word")
	}
}

package main

import (
	"os"
	"strings"
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
	first.Await("Enter this code")
	if err := idp.ApproveDevice(strings.TrimSpace(first.Await("    ")), entra.Ana); err != nil {
		t.Fatal(err)
	}
	first.Await("Hello, Ana Alves!")
	first.Finish()

	if shown := machine.Start(t, idp, entra.PublicClient).Finish(); shown != "Hello, Ana Alves!\n" {
		t.Errorf("the second run shows %q", shown)
	}
}

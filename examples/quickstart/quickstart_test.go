package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/machine"
)

// asProgram makes the test's own binary the program.
const asProgram = "QUICKSTART_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheFirstRunSignsInAndLaterRunsNeedNoBrowser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SSL_CERT_FILE makes a program trust the imitation of Entra on Linux alone")
	}
	idp := entra.Start(t, entra.Options{Strict: true})
	environment := environmentOf(t, idp)

	signIns := 0
	for range 2 {
		profile := call(t, environment, func(address string) {
			signIns++
			if err := idp.Browse(address); err != nil {
				t.Error(err)
			}
		})
		var user struct {
			UserPrincipalName string `json:"userPrincipalName"`
		}
		if err := json.Unmarshal([]byte(profile), &user); err != nil || user.UserPrincipalName != entra.Ana {
			t.Errorf("Graph's answer is %q, %v, and should be the profile of %s", profile, err, entra.Ana)
		}
	}
	if signIns != 1 {
		t.Errorf("two runs signed in %d times", signIns)
	}
}

func TestTheRecordOnTheDiskShowsNoToken(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SSL_CERT_FILE makes a program trust the imitation of Entra on Linux alone")
	}
	idp := entra.Start(t, entra.Options{Strict: true})
	environment := environmentOf(t, idp)
	call(t, environment, func(address string) {
		if err := idp.Browse(address); err != nil {
			t.Error(err)
		}
	})
	record, err := os.ReadFile(filepath.Join(strings.TrimPrefix(environment[0], "XDG_CONFIG_HOME="), "graphtoken-quickstart", "tokens", "me"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(record, []byte("graphtoken:3:")) {
		t.Errorf("the record begins with %.20q, and not with the keyring's envelope", record)
	}
}

// environmentOf returns the environment of a machine on which every https address leads to
// the imitation of Entra and Graph, and whose user has signed in nowhere.
func environmentOf(t *testing.T, idp *entra.Server) []string {
	t.Helper()
	home := "XDG_CONFIG_HOME=" + t.TempDir() // where os.UserConfigDir looks first
	return append([]string{home, asProgram + "=yes"}, machine.Environment(t, idp)...)
}

// call runs the program, visits the sign-in page if it shows one, and returns
// what it prints besides.
func call(t *testing.T, environment []string, visit func(address string)) string {
	t.Helper()
	program := exec.CommandContext(t.Context(), os.Args[0], entra.PublicClient)
	program.Env = append(os.Environ(), environment...)
	var complaints bytes.Buffer
	program.Stderr = &complaints
	output, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	var rest strings.Builder
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "Sign in at "); ok {
			visit(address)
		} else {
			rest.WriteString(lines.Text() + "\n")
		}
	}
	if err := program.Wait(); err != nil {
		t.Fatalf("%v: %s", err, complaints.Bytes())
	}
	return rest.String()
}

func TestTheReadmeShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if block := "```go\n" + string(program) + "```\n"; !bytes.Contains(readme, []byte(block)) {
		t.Error("README.md should have examples/quickstart/main.go as a Go block, word by word")
	}
}

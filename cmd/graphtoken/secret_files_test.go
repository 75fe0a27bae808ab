//go:build unix

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestAFileOfASecretThatOthersCanReadIsUsedWithOneWarning(t *testing.T) {
	// Each prepares the world, and returns the file and a command that reads it.
	for flag, prepare := range map[string]func(w *world) (file string, command []string){
		"--client-secret-file": func(w *world) (string, []string) {
			return w.write("secret", entra.ConfidentialSecret), []string{"login", "--client-credentials"}
		},
		"--certificate": func(w *world) (string, []string) {
			file, id := w.certificate()
			return file, []string{"login", "--client-credentials", "--client-id", id}
		},
		"--federated-token-file": func(w *world) (string, []string) { // which is read again for each request
			return w.write("federated", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"), []string{"login", "--client-credentials"}
		},
		"--fernet-key-file": func(w *world) (string, []string) { // for each of several files
			w.set("GRAPHTOKEN_CLIENT_ID=")
			token := readFile(w.t, filepath.Join("..", "..", "core", "tokencache", "testdata", "python-o365", "fernet_token.txt"))
			return w.write("fernet", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), []string{"import", "--dry-run", w.write("a", token), w.write("b", token)}
		},
	} {
		t.Run(flag, func(t *testing.T) {
			w := newWorld(t)
			w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient)
			file, command := prepare(w)
			silent := w.run(append(command, flag, file)...)
			if strings.Contains(silent.err, "Warning: ") {
				t.Errorf("of a file of mode 0600, the command warns:\n%s", silent.err)
			}
			for _, mode := range []os.FileMode{0o644, 0o640, 0o602} {
				if err := os.Chmod(file, mode); err != nil {
					t.Fatal(err)
				}
				r := w.run(append(command, flag, file)...)
				want := fmt.Sprintf("Warning: other users can read or write %s (mode %04o), which %s names: chmod 600 it.\n", file, mode, flag)
				if r.code != silent.code || strings.Count(r.err, "Warning: ") != 1 || !strings.Contains(r.err, want) {
					t.Errorf("exit code %d, want %d and one line %q:\n%s", r.code, silent.code, want, r.err)
				}
			}
			if flag == "--fernet-key-file" { // it has no variable
				return
			}
			w.set("GRAPHTOKEN_" + strings.ToUpper(strings.NewReplacer("--", "", "-", "_").Replace(flag)) + "=" + file)
			if r := w.run(command...); strings.Count(r.err, "Warning: ") != 1 {
				t.Errorf("of a file that a variable names:\n%s", r.err)
			}
		})
	}
}

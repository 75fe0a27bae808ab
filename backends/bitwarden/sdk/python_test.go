//go:build cgo

package sdk_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// python-o365's own backend, over Bitwarden's SDK for Python, and both of Go's clients
// keep one record, by the id of its secret.
func TestPythonO365SharesASecret(t *testing.T) {
	python := peer.Python(t)
	if runtime.GOOS != "linux" {
		peer.Missing(t, "ssl-cert-file", "Bitwarden's SDKs trust the file in SSL_CERT_FILE on Linux alone")
	}
	s := bitwardentest.Start(t, bitwardentest.Options{TLS: true})
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := s.WriteCert(cert); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", cert)

	run := func(command, id, stdin string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), python, "testdata/peer.py", command, s.APIURL(), s.IdentityURL(), id)
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=*", "ACCESS_TOKEN="+s.AccessToken())
		cmd.Stdin = bytes.NewBufferString(stdin)
		out, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok {
			out = exit.Stderr
		}
		return string(out), err
	}
	for who, secrets := range map[string]bitwarden.Secrets{"official": login(t, s, ""), "pure": pure(t, s, "")} {
		t.Run(who, func(t *testing.T) {
			id := s.Add(bitwardentest.Secret{Key: "o365 token", Value: "{}", Note: "ours"})
			b := newBackend(t, s, secrets)

			written := `{"AccessToken":{"ü 日本語":{"secret":"at-go"}},"RefreshToken":{}}`
			if _, err := b.Save(t.Context(), id, core.Record{Data: []byte(written), Version: core.AnyVersion}); err != nil {
				t.Fatal(err)
			}
			read, err := run("load", id, "")
			if err != nil {
				t.Fatalf("%v: %s", err, read)
			}
			wantSameJSON(t, read, written)

			written = `{"AccessToken":{"ü":{"secret":"at-python 🔑"}},"Unknown":[null]}`
			if out, err := run("save", id, written); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			rec, err := b.Load(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			wantSameJSON(t, string(rec.Data), written)
			for _, stored := range s.Secrets() {
				if stored.ID == id && (stored.Key != "o365 token" || stored.Note != "ours") {
					t.Errorf("it has become %+v", stored)
				}
			}

			// As it is, python-o365 gives its arguments in the order of an older
			// bitwarden-sdk. That this hurts nothing is what matters here.
			if out, err := run("save-as-it-is", id, `{"AccessToken":{}}`); err == nil {
				t.Errorf("python-o365 %s saves with this bitwarden-sdk: the README says it doesn't", out)
			}
			again, err := b.Load(t.Context(), id)
			if err != nil || again.Version != rec.Version {
				t.Errorf("after a save that failed: %q, want %q, %v", again.Version, rec.Version, err)
			}
		})
	}
}

func wantSameJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

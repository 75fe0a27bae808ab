package entra_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

func TestMSALPythonAndPythonO365SignInAndRefresh(t *testing.T) {
	python := peer.Python(t)
	idp := entra.Start(t, entra.Options{Strict: true})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := idp.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/peers.py")
	cmd.Env = append(os.Environ(), "TESTKIT_ADDR="+idp.Addr(), "TESTKIT_USER="+entra.Ana,
		"TESTKIT_PUBLIC="+entra.PublicClient, "TESTKIT_CONFIDENTIAL="+entra.ConfidentialClient,
		"TESTKIT_PASSWORD="+entra.UserPassword, "TESTKIT_SECRET="+entra.ConfidentialSecret, "REQUESTS_CA_BUNDLE="+ca, "NO_PROXY=*", "PYTHONDONTWRITEBYTECODE=1")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &complaints)
	}
	var outcomes map[string]string
	if err := json.Unmarshal(out, &outcomes); err != nil {
		t.Fatalf("%v in %q\n%s", err, out, &complaints)
	}
	if len(outcomes) == 0 {
		t.Fatal("the script ran no case")
	}
	for name, wrong := range outcomes {
		t.Run(name, func(t *testing.T) {
			if wrong != "" {
				t.Error(wrong)
			}
		})
	}
	g := idp.Grants()
	wantEqual(t, "spent refresh tokens", g.ReuseDetected, 1)
	wantEqual(t, "revoked families", g.FamiliesRevoked, 1)
}

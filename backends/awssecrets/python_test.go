package awssecrets_test

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

// python runs a program in which backend is python-o365's own, on the secret of
// a name.
func python(t *testing.T, url, name, program string) string {
	t.Helper()
	cmd := exec.Command(peer.Python(t), "-c", `
import sys
from O365.utils.token import AWSSecretsBackend
backend = AWSSecretsBackend(sys.argv[1], "us-east-1")
`+program, name)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestPythonReadsAndWritesTheSameSecrets(t *testing.T) {
	for where, url := range map[string]func() string{
		"the double": func() string { return secretstest.Start(t, secretstest.Options{}).URL },
		"moto":       func() string { return mototest.Start(t).URL },
	} {
		t.Run(where, func(t *testing.T) {
			url := url()
			b := on(t, connect(url, mend(http.DefaultTransport)), awssecrets.Options{Prefix: "tokens/"})

			// Python reads what Go wrote.
			cache := tokencache.New()
			err := cache.Put(tokencache.TokenResponse{
				AccessToken: "an access token", RefreshToken: "a refresh token", Scope: "User.Read", ExpiresIn: 3600,
				ClientID: "client", Environment: "login.microsoftonline.com", Tenant: "common", HomeAccountID: "uid.utid",
			})
			if err != nil {
				t.Fatal(err)
			}
			data, err := cache.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			v := save(t, b, "o365_token", string(data), core.Absent)
			got := python(t, url, "tokens/o365_token", `
assert backend.check_token() and backend.load_token() and backend.has_data
print(*[e["secret"] for section in ("AccessToken", "RefreshToken") for e in backend._cache[section].values()], sep=", ")
`)
			if got != "an access token, a refresh token" {
				t.Errorf("python reads %q", got)
			}

			// Go reads what Python made of it, and is told that it changed.
			python(t, url, "tokens/o365_token", `
assert backend.load_token()
next(iter(backend._cache["AccessToken"].values()))["secret"] = "another access token"
assert backend.save_token(force=True)
`)
			rec, err := b.Load(t.Context(), "o365_token")
			if err != nil || rec.Version == v || !strings.Contains(string(rec.Data), "another access token") {
				t.Fatalf("Load = version %q, %v", rec.Version, err)
			}
			if _, err := tokencache.Parse(rec.Data); err != nil {
				t.Error(err)
			}
			save(t, b, "o365_token", string(data), rec.Version)

			// What Python created is listed and replaced, and what it deleted is gone.
			python(t, url, "tokens/from-python", `
backend._cache = {"AccessToken": {}}
assert backend.save_token(force=True)
`)
			if rec, err = b.Load(t.Context(), "from-python"); err != nil {
				t.Fatal(err)
			}
			save(t, b, "from-python", "{}", rec.Version)
			if keys := list(t, b); len(keys) != 2 {
				t.Errorf("Keys = %q", keys)
			}
			python(t, url, "tokens/from-python", "assert backend.delete_token()")
			if there, err := b.Check(t.Context(), "from-python"); there || err != nil {
				t.Errorf("Check = %v, %v", there, err)
			}
		})
	}
}

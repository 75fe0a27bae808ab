package awssecrets_test

import (
	"errors"
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

func TestPythonReadsAndWritesTheSameSecrets(t *testing.T) {
	t.Parallel()
	interpreter := peer.Python(t)
	for where, start := range map[string]func() string{
		"the double": func() string { return secretstest.Start(t, secretstest.Options{}).URL },
		"moto":       func() string { return mototest.Start(t).URL },
	} {
		t.Run(where, func(t *testing.T) {
			url := start()
			python := func(program string) string {
				t.Helper()
				cmd := exec.Command(interpreter, "-c", `
from O365.utils.token import AWSSecretsBackend
ana, bo = AWSSecretsBackend("tokens/ana", "us-east-1"), AWSSecretsBackend("tokens/bo", "us-east-1")
`+program)
				cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret")
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				return string(out)
			}
			b := on(t, connect(url, mend(http.DefaultTransport)), awssecrets.Options{Prefix: "tokens/"})
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
			v := save(t, b, "ana", string(data), core.Absent)

			// Python reads what Go wrote, replaces it, and makes a secret of its own.
			read := python(`
assert ana.check_token() and ana.load_token() and ana.has_data
tokens = [entry for section in ("AccessToken", "RefreshToken") for entry in ana._cache[section].values()]
print(*[entry["secret"] for entry in tokens], sep=", ")
tokens[0]["secret"] = "another access token"
bo._cache = ana._cache
assert not bo.check_token()
assert ana.save_token(force=True) and bo.save_token(force=True)
`)
			if !strings.HasPrefix(read, "an access token, a refresh token\n") {
				t.Errorf("python reads %q", read)
			}
			if _, err := b.Save(t.Context(), "ana", core.Record{Data: data, Version: v}); !errors.Is(err, core.ErrConflict) {
				t.Errorf("Save over what python replaced = %v", err)
			}
			for _, key := range []string{"ana", "bo"} {
				rec, err := b.Load(t.Context(), key)
				if err != nil || !strings.Contains(string(rec.Data), "another access token") {
					t.Fatalf("Load of %s = version %q, %v", key, rec.Version, err)
				}
				if _, err := tokencache.Parse(rec.Data); err != nil {
					t.Error(err)
				}
				save(t, b, key, string(data), rec.Version)
			}
			if keys := list(t, b); len(keys) != 2 {
				t.Errorf("Keys = %q", keys)
			}
			if err := b.Delete(t.Context(), "bo"); err != nil {
				t.Fatal(err)
			}

			// A record that one of them deleted is gone for the other.
			python(`
assert ana.load_token() and not bo.check_token()
assert ana.delete_token()
`)
			if there, err := b.Check(t.Context(), "ana"); there || err != nil {
				t.Errorf("Check = %v, %v", there, err)
			}
		})
	}
}

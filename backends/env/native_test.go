package env_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/joho/godotenv"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/internal/testkit/native"
)

func TestARecordIsUsedUnderTheNameOfItsVariable(t *testing.T) {
	for _, name := range []string{"O365TOKEN ana@contoso.com", "token%40-é/+", "o365.Token"} {
		b, err := env.New(env.Options{NativeNames: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Unsetenv(name) })
		native.Check(t, b, name, native.Place{
			Put: func(data string) {
				if err := os.Setenv(name, data); err != nil {
					t.Fatal(err)
				}
			},
			Get: func() (string, bool) { return os.LookupEnv(name) },
		})
	}
}

func TestARecordIsUsedUnderItsNameInADotenvFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	b, err := env.New(env.Options{DotEnv: file, NativeNames: true})
	if err != nil {
		t.Fatal(err)
	}
	const name = "__O365.Token_ana"
	native.Check(t, b, name, native.Place{
		Put: func(data string) {
			if err := os.WriteFile(file, []byte(name+"='"+data+"'\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Get: func() (string, bool) {
			variables, err := godotenv.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			data, found := variables[name]
			return data, found
		},
	})
}

package env_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/joho/godotenv"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

func TestVariablesConform(t *testing.T) {
	conform(t, func(t conformance.T) conformance.Env {
		return variables{place{env.Options{Prefix: prefix(t)}}}
	})
}

func TestVariablesWithNativeNamesConform(t *testing.T) {
	conform(t, func(t conformance.T) conformance.Env {
		return variables{place{env.Options{Prefix: prefix(t), NativeNames: true}}}
	})
}

func TestDotEnvFilesConform(t *testing.T) {
	conform(t, func(t conformance.T) conformance.Env {
		dir := filepath.Join(t.TempDir(), "private") // private under any umask
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatalf("%v", err)
		}
		return dotenv{place{env.Options{Prefix: "GRAPHTOKEN_", DotEnv: filepath.Join(dir, ".env")}}}
	})
}

func conform(t *testing.T, store func(t conformance.T) conformance.Env) {
	// The limit depends on the prefix; all that prefix makes are of one size.
	limit := store(t).Open(t).(core.SizeLimiter).MaxSize()
	conformance.Run(t, conformance.Harness{
		New: store,
		Want: conformance.Capabilities{
			CAS:          conformance.CASEnforced,
			Coordinates:  true,
			Lease:        true,
			LeaseExpires: true,
			Watch:        true,
			List:         true,
			Ping:         true,
			MaxSize:      limit,
		},
	})
}

// place opens handles on one set of variables.
type place struct{ env.Options }

func (p place) Open(t conformance.T) core.TokenBackend {
	b, err := env.New(p.Options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

// The keys that the suite breaks and looks at are their own names.

type variables struct{ place }

func (v variables) Corrupt(key string) error { return os.Setenv(v.Prefix+key, "") }

func (v variables) Raw(key string) []byte {
	value, ok := os.LookupEnv(v.Prefix + key)
	if !ok {
		return nil
	}
	return []byte(value)
}

type dotenv struct{ place }

// Corrupt leaves the other lines whole: a file torn in the middle is nobody's
// to mend.
func (d dotenv) Corrupt(key string) error {
	values, err := godotenv.Read(d.DotEnv)
	if err != nil {
		return err
	}
	values[d.Prefix+key] = ""
	return godotenv.Write(values, d.DotEnv)
}

func (d dotenv) Raw(key string) ([]byte, error) {
	values, err := godotenv.Read(d.DotEnv)
	if err != nil {
		return nil, err
	}
	value, ok := values[d.Prefix+key]
	if !ok {
		return nil, nil
	}
	return []byte(value), nil
}

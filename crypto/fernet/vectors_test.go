package fernet

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// vector is one of the specification's, in testdata.
type vector struct {
	Desc, Token, Src, Secret string
	Now                      time.Time
	IV                       []int
}

func vectors(t *testing.T, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil || len(all) == 0 {
		t.Fatalf("%s: %d vectors, %v", file, len(all), err)
	}
	return all
}

func TestTheSpecificationsTokensAreGenerated(t *testing.T) {
	for _, v := range vectors(t, "generate.json") {
		k, err := parseKey(v.Secret)
		if err != nil {
			t.Fatal(err)
		}
		var iv [16]byte
		for i, b := range v.IV {
			iv[i] = byte(b)
		}
		if got := string(k.seal([]byte(v.Src), v.Now, iv)); got != v.Token {
			t.Errorf("%s, want %s", got, v.Token)
		}
	}
}

func TestTheSpecificationsTokensAreRead(t *testing.T) {
	for _, v := range vectors(t, "verify.json") {
		m, err := New(v.Secret)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Decrypt(t.Context(), []byte(v.Token), nil); err != nil || string(got) != v.Src {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestTheSpecificationsInvalidTokensAreRefusedUnlessTheyAreOnlyOld(t *testing.T) {
	aged := map[string]bool{"far-future TS (unacceptable clock skew)": true, "expired TTL": true}
	for _, v := range vectors(t, "invalid.json") {
		m, err := New(v.Secret)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Decrypt(t.Context(), []byte(v.Token), nil)
		if aged[v.Desc] {
			if err != nil {
				t.Errorf("%s: %v", v.Desc, err)
			}
		} else if !errors.Is(err, core.ErrDecrypt) || got != nil {
			t.Errorf("%s: %q, %v", v.Desc, got, err)
		}
	}
}

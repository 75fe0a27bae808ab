package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

func TestTextStandsAsItIsAndEverythingElseComesBack(t *testing.T) {
	short := func(text string) bool { return len(text) < 10 }
	for data, plain := range map[string]bool{
		`{"a":1}`:        true,
		"gAAAAA":         true,
		"":               true,
		"a\x00b":         false,
		"\xff\xfe":       false,
		"base64:":        false,
		"base64:e30=":    false,
		"longer than it": false,
	} {
		text := backend.EncodeText([]byte(data), short)
		if (text == data) != plain {
			t.Errorf("%q is written as %q", data, text)
		}
		if got, err := backend.DecodeText(text); err != nil || string(got) != data {
			t.Errorf("%q came back as %q, %v", data, got, err)
		}
	}
	if text := backend.EncodeText([]byte("longer than it"), nil); text != "longer than it" {
		t.Errorf("%q", text)
	}
	for _, text := range []string{"base64:e30", "base64:!", "base64:e3 0=", "base64:e31="} {
		if _, err := backend.DecodeText(text); !errors.Is(err, core.ErrCorrupt) || strings.Contains(err.Error(), "e3") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

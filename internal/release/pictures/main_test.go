package main

import (
	"bytes"
	"os"
	"testing"
)

func TestEachPictureOfTheDocumentsIsDrawnFromTheTextBesideIt(t *testing.T) {
	sources, err := list(t.Context())
	if err != nil {
		t.Skip(err)
	}
	for _, source := range sources {
		want, err := draw(t.Context(), source)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := os.ReadFile(picture(source))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its text gives: run scripts/pictures", picture(source))
		}
	}
}

package core_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func TestARecordPrintsNoData(t *testing.T) {
	const secret = "CANARY0123456789"
	rec := core.Record{Data: []byte(secret), Version: "1"}
	var shown []string
	for _, v := range []any{rec, &rec, rec.Data, []core.Record{rec}, map[string]core.Record{"k": rec}, struct{ R core.Record }{rec}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U"} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		for _, encode := range []func(any) ([]byte, error){json.Marshal, xml.Marshal, encodeGob} {
			text, _ := encode(v) // xml and gob show nothing that they can't encode
			shown = append(shown, string(text))
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		shown = append(shown, log.String())
	}
	for _, text := range shown {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]"), "Q0FOQVJZ"} {
			if strings.Contains(text, form) {
				t.Errorf("the data shows: %s", text)
			}
		}
	}
}

func encodeGob(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func TestTheZeroVersionCreatesAndNeverOverwrites(t *testing.T) {
	b := newBackend()
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2")}); err == nil {
		t.Error("a Save without a version overwrote the record")
	}
}

package msal

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

func TestNothingOfAClientShowsASecret(t *testing.T) {
	credential, err := confidential.NewCredFromSecret("canary")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConfidential("app", credential)
	if err != nil {
		t.Fatal(err)
	}
	x := c.exchange([]byte("canary"))
	x.conceal("canary")
	x.answer = &answer{AccessToken: "canary", RefreshToken: "canary"}
	for _, v := range []any{c, *c, x, *x, x.answer, *x.answer, []any{c, x, x.answer}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
				t.Errorf("%s of %T shows the secret: %s", verb, v, text)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "code", DeviceCode{UserCode: "canary", Message: "Enter canary"})
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the log of a device code shows it: %s", &log)
	}
	// Printers that follow pointers by reflection (spew, testify) get no further.
	if where := find(reflect.ValueOf(c), "canary", map[uintptr]bool{}); where != "" {
		t.Errorf("the secret is in the client%s", where)
	}
}

// find says in which field or element of v a string is, and "" where it is not.
func find(v reflect.Value, text string, seen map[uintptr]bool) string {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), text) {
			return ":"
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Kind() == reflect.Pointer && seen[v.Pointer()] {
			return ""
		}
		if v.Kind() == reflect.Pointer {
			seen[v.Pointer()] = true
		}
		return find(v.Elem(), text, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if where := find(v.Field(i), text, seen); where != "" {
				return "." + v.Type().Field(i).Name + where
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if where := find(v.Index(i), text, seen); where != "" {
				return fmt.Sprintf("[%d]%s", i, where)
			}
		}
	}
	return ""
}

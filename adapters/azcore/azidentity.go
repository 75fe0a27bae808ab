package azcore

import (
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/graphtoken/graphtoken/core/bearer"
)

// azidentity's errors are concrete types of a module that imports MSAL and a browser, and
// no method tells them from others. So they are recognized by their names. A test with
// the real azidentity (internal/pairing) checks the names.

const azidentityPath = "github.com/Azure/azure-sdk-for-go/sdk/azidentity"

// kind is the kind of an azidentity error.
type kind struct {
	name     string         // of the type; "" if no error is azidentity's
	response *http.Response // of an AuthenticationFailedError; it may be nil
}

// kindOf looks for an error of azidentity's in err and all that it wraps.
func kindOf(err error) kind {
	for err != nil {
		if k := ownKind(err); k.name != "" {
			return k
		}
		switch wrapper := err.(type) {
		case interface{ Unwrap() error }:
			err = wrapper.Unwrap()
		case interface{ Unwrap() []error }:
			for _, each := range wrapper.Unwrap() {
				if k := kindOf(each); k.name != "" {
					return k
				}
			}
			return kind{}
		default:
			return kind{}
		}
	}
	return kind{}
}

func ownKind(err error) kind {
	v := reflect.ValueOf(err)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct || v.Elem().Type().PkgPath() != azidentityPath {
		return kind{}
	}
	k := kind{name: v.Elem().Type().Name()}
	if field := v.Elem().FieldByName("RawResponse"); field.IsValid() && field.CanInterface() {
		k.response, _ = field.Interface().(*http.Response)
	}
	return k
}

// errorCode is the OAuth error of an answer; "" if it has none.
func errorCode(resp *http.Response) string {
	var answer struct {
		Error string `json:"error"`
	}
	if body, err := runtime.Payload(resp); err != nil || json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Error
}

func retryAfter(resp *http.Response) time.Duration { return bearer.RetryAfter(resp.Header, time.Now()) }

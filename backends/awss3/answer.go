package awss3

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/graphtoken/graphtoken/core"
)

// versionOf turns an ETag into a version: it removes the quotes, which some stores leave
// out.
func versionOf(etag *string) (core.Version, error) {
	v := core.Version(strings.Trim(aws.ToString(etag), `"`))
	if _, ok := etagOf(v); !ok {
		return "", fmt.Errorf("the store's answer has the ETag %q, which can't be used as a condition", aws.ToString(etag))
	}
	return v, nil
}

// etagOf turns a version into an ETag. ok is false for a text that would be another
// condition than "this exact version": "*" (any version), a list, a weak ETag.
func etagOf(v core.Version) (etag string, ok bool) {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c > '~' || strings.IndexByte(`",*`, c) >= 0 {
			return "", false
		}
	}
	return `"` + string(v) + `"`, v != ""
}

// answeredAt is the time of the store's answer, in whole seconds of the store's clock. It
// is zero if the answer has no date.
func answeredAt(answer middleware.Metadata) time.Time {
	t, _ := awsmiddleware.GetServerTime(answer)
	return t
}

// refusedAt is answeredAt for an answer that is an error.
func refusedAt(err error) time.Time {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		t, _ := smithyhttp.ParseTime(answer.Response.Header.Get("Date"))
		return t
	}
	return time.Time{}
}

// status is the HTTP status of an answer that is an error. It is zero if there was no
// answer.
func status(err error) int {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}

// refused reports whether the error says that a condition didn't hold. If nothing is
// stored, S3 answers If-Match with "not found", which also counts.
func refused(err error) bool {
	return status(err) == http.StatusPreconditionFailed || missing(err)
}

// missing reports whether the error says that the object doesn't exist. A missing bucket,
// or a proxy's own "not found", doesn't count.
func missing(err error) bool {
	said, ok := errors.AsType[smithy.APIError](err)
	return ok && said.ErrorCode() == "NoSuchKey"
}

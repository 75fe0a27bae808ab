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

// versionOf is an ETag as a version: without its quotes, which some stores
// leave out.
func versionOf(etag *string) (core.Version, error) {
	v := core.Version(strings.Trim(aws.ToString(etag), `"`))
	if _, ok := etagOf(v); !ok {
		return "", fmt.Errorf("the store answered the ETag %q, which can't be a condition", aws.ToString(etag))
	}
	return v, nil
}

// etagOf is the other way round. It is false for what would be another
// condition than this very version: "*", which is any, a list, a weak tag.
func etagOf(v core.Version) (etag string, ok bool) {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c > '~' || strings.IndexByte(`",*`, c) >= 0 {
			return "", false
		}
	}
	return `"` + string(v) + `"`, v != ""
}

// answeredAt is when the store answered, to the second by its own clock; zero
// where it doesn't say.
func answeredAt(answer middleware.Metadata) time.Time {
	t, _ := awsmiddleware.GetServerTime(answer)
	return t
}

// refusedAt is the same of an answer that is an error.
func refusedAt(err error) time.Time {
	answer := (*smithyhttp.ResponseError)(nil)
	if !errors.As(err, &answer) {
		return time.Time{}
	}
	t, _ := smithyhttp.ParseTime(answer.Response.Header.Get("Date"))
	return t
}

// status is the HTTP status of an answer that is an error; zero where there was
// no answer.
func status(err error) int {
	if answer := (*smithyhttp.ResponseError)(nil); errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// refused says that a condition didn't hold. Where nothing is stored, the answer
// to If-Match is that.
func refused(err error) bool {
	return status(err) == http.StatusPreconditionFailed || missing(err)
}

// missing says that the object isn't there: not that the bucket isn't, nor what
// some proxy calls not found.
func missing(err error) bool {
	said := smithy.APIError(nil)
	return errors.As(err, &said) && said.ErrorCode() == "NoSuchKey"
}

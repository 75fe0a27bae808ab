package bearer

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is MSAL Python's (throttled_http_client.RetryAfterParser).
const maxRetryAfter = time.Hour

// RetryAfter returns how long a server wants to be left alone, by its answer's
// Retry-After header in either of its forms (RFC 9110 section 10.2.3): an hour at
// most, and 0 where it doesn't say. A date counts from the answer's own, where it
// has one, since the two come from one clock, and otherwise from now.
func RetryAfter(answer http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(answer.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(answer.Get("Date")); err == nil {
		now = sent
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}

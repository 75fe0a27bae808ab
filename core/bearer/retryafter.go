package bearer

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is the limit of MSAL Python (throttled_http_client.RetryAfterParser).
const maxRetryAfter = time.Hour

// RetryAfter returns how long a server asks its client to wait, by the Retry-After header
// of its answer in either form (RFC 9110 section 10.2.3): an hour at most, and 0 if it
// doesn't say. A date is compared with the answer's own date if it has one, because both
// come from one clock, and with now otherwise.
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

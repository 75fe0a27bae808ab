package bearer

import (
	"io"
	"net/http"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/internal/sleep"
)

const (
	// firstPause is python-o365's (RETRIES_BACKOFF_FACTOR); each further pause is twice
	// as long, where the answer doesn't say how long to wait.
	firstPause = 500 * time.Millisecond

	// maxPause is the longest wait for another try, as in the retry handler of
	// Microsoft's own Graph clients. An answer that asks for more is the caller's.
	maxPause = 3 * time.Minute
)

// again returns the body to send once more, after the wait that the answer asks for.
// ok is false if the request is not to be sent again: then the answer is the caller's.
func (t *Transport) again(b *body, answer *http.Response, retries int) (out io.ReadCloser, ok bool, err error) {
	req := b.req
	if retries >= t.Retry || !isTransient(req, answer.StatusCode) {
		return nil, false, nil
	}
	pause := RetryAfter(answer.Header, time.Now())
	if pause == 0 {
		pause = jitter.Around(min(firstPause<<min(retries, 16), maxPause))
	}
	if deadline, ok := req.Context().Deadline(); pause > maxPause || ok && time.Until(deadline) <= pause {
		return nil, false, nil
	}
	if out, ok = b.again(); !ok {
		return nil, false, nil
	}
	discard(answer)
	if err := sleep.For(req.Context(), pause); err != nil {
		closeBody(out)
		return nil, false, err
	}
	return out, true, nil
}

// isTransient reports whether a request that was answered with status may be sent
// again. With 429 and 503 a server says that it did nothing. After a 502 or 504 it may have
// done what was asked, so that the request must be one that can be done twice.
func isTransient(req *http.Request, status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return isIdempotent(req)
	}
	return false
}

// isIdempotent is net/http's rule (see [http.Transport]), and RFC 9110 section 9.2.2.
func isIdempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}

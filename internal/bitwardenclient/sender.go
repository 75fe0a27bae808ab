package bitwardenclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/core/bearer"
)

// StatusError is an answer of the server that isn't success.
type StatusError struct {
	StatusCode int
	// Message is the server's text, without control characters and without the secrets
	// that were sent to the server. It is empty if the server gave none.
	Message string
	// RetryAfter is how long the server asked to wait. It is zero if it didn't ask.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	text := strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// refused reports that the server did nothing, and may be asked again.
func (e *StatusError) refused() bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusServiceUnavailable && e.RetryAfter > 0
}

// request is what a sender sends, once or several times.
type request struct {
	method, url string
	bearer      string   // empty: without authorization
	secrets     []string // secrets in the body, which must not be shown
	kind        string   // content type of the body
	body        []byte
}

// sender sends requests to one server, and waits if the server asks for it.
type sender struct {
	http *http.Client

	mu     sync.Mutex
	resume time.Time // when the server will accept requests again
}

const (
	attempts  = 4           // for one request
	patience  = time.Minute // for all waits of one request together
	firstWait = time.Second // if the server doesn't say; doubled each time
	maxAnswer = 64 << 20    // bytes: a list of a hundred thousand secrets
)

// newSender returns a sender that uses the caller's client, or a new one.
func newSender(given *http.Client) *sender {
	own := http.Client{Timeout: 30 * time.Second}
	if given != nil {
		own = *given
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sender{http: &own}
}

// send sends r and decodes the answer. If the server refuses it temporarily, send waits
// and sends it again, within its limits. All callers wait together, because a server's
// limit is for the account, not for the caller.
func (s *sender) send(ctx context.Context, r request, answer any) error {
	var waited time.Duration
	for attempt := 1; ; attempt++ {
		if err := s.untilResumed(ctx); err != nil {
			return err
		}
		err := s.once(ctx, r, answer)
		status, ok := errors.AsType[*StatusError](err)
		if !ok || !status.refused() || attempt == attempts {
			return err
		}
		wait := cmp.Or(status.RetryAfter, firstWait<<(attempt-1))
		waited += wait
		if deadline, ok := ctx.Deadline(); waited > patience || ok && time.Until(deadline) < wait+spread(wait) {
			return err
		}
		s.pause(wait)
	}
}

func (s *sender) pause(wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(wait); until.After(s.resume) {
		s.resume = until
	}
}

// untilResumed waits until the server accepts requests again, and up to a quarter longer:
// requests that waited together must not be sent again at the same moment.
func (s *sender) untilResumed(ctx context.Context) error {
	s.mu.Lock()
	wait := time.Until(s.resume)
	s.mu.Unlock()
	if wait > 0 {
		wait += rand.N(spread(wait) + 1)
	}
	return backend.Sleep(ctx, wait)
}

// spread is the time within which requests that waited together are sent again.
func spread(wait time.Duration) time.Duration { return wait / 4 }

// once is send without waiting.
func (s *sender) once(ctx context.Context, r request, answer any) error {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "graphtoken")
	req.Header.Set("Device-Type", "21") // "SDK"
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(body) > maxAnswer:
		return fmt.Errorf("the server's answer is longer than %d bytes", maxAnswer)
	case resp.StatusCode/100 != 2:
		return &StatusError{
			StatusCode: resp.StatusCode,
			Message:    message(body, append(r.secrets, r.bearer)),
			RetryAfter: bearer.RetryAfter(resp.Header, time.Now()),
		}
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return unreadable("the", err)
	}
	return nil
}

// message is the text of a refusal: the API's message, or the code of an OAuth error (RFC
// 6749, section 5.2).
func message(body []byte, secrets []string) string {
	var refusal struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return ""
	}
	text := shown(cmp.Or(refusal.Message, refusal.Error), secrets...)
	return strings.ToValidUTF8(text[:min(len(text), 200)], "")
}

package s3test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Double is an S3 store in this process. It honours If-Match and If-None-Match
// on PutObject, and If-Match on DeleteObject; it doesn't look at signatures, but
// at the time of a request, as S3 does.
type Double struct {
	URL string

	clock clock
}

// Start starts an empty store. It ends with the test.
func Start(t testkit.TB) *Double {
	t.Helper()
	d := new(Double)
	fake := gofakes3.New(s3mem.New(s3mem.WithTimeSource(&d.clock)), gofakes3.WithTimeSource(&d.clock)).Server()
	server := httptest.NewServer(&oneByOne{fake: fake, clock: &d.clock})
	t.Cleanup(server.Close)
	d.URL = server.URL
	return d
}

// Advance sets the store's clock forward, or back.
func (d *Double) Advance(by time.Duration) { d.clock.advance(by) }

// Stop stops the store's clock at a time. Only Advance moves it then.
func (d *Double) Stop(at time.Time) { d.clock.stop(at) }

// clock is the computer's and so much ahead, or stands still.
type clock struct {
	mu      sync.Mutex
	ahead   time.Duration
	stopped time.Time // zero while it goes
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped.IsZero() {
		return time.Now().UTC().Add(c.ahead)
	}
	return c.stopped
}

func (c *clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
	if !c.stopped.IsZero() {
		c.stopped = c.stopped.Add(by)
	}
}

func (c *clock) stop(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = at.UTC()
}

// oneByOne makes the fake's conditions atomic: it compares, and then writes.
type oneByOne struct {
	fake  http.Handler
	clock *clock

	mu sync.Mutex
}

func (s *oneByOne) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The whole request first: one that is cut off has no effect, and one that
	// is slow doesn't hold up the others.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	s.mu.Lock()
	s.fake.ServeHTTP(answer, r)
	now := s.clock.Now()
	s.mu.Unlock()
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Date", now.Format(http.TimeFormat))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

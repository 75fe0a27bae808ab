package bearer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core/bearer"
)

// busy is a server that answers with a status as often as it is told, then with 200. It
// notes when it was asked, and what it was sent.
type busy struct {
	status     int
	times      int
	retryAfter func() string // nil: no such header

	asked  []time.Time
	bodies []string
}

func (b *busy) RoundTrip(req *http.Request) (*http.Response, error) {
	b.asked = append(b.asked, time.Now())
	body := ""
	if req.Body != nil {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		body = string(raw)
	}
	b.bodies = append(b.bodies, body)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}
	if len(b.asked) <= b.times {
		resp.StatusCode = b.status
		if b.retryAfter != nil {
			resp.Header.Set("Retry-After", b.retryAfter())
		}
	}
	return resp, nil
}

func (b *busy) pauses() []time.Duration {
	var pauses []time.Duration
	for i := 1; i < len(b.asked); i++ {
		pauses = append(pauses, b.asked[i].Sub(b.asked[i-1]))
	}
	return pauses
}

func requestTo(t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://graph.microsoft.com/v1.0/me", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestARequestIsSentAgainOnlyIfRetryAsksForIt(t *testing.T) {
	all := []int{429, 502, 503, 504}
	for _, row := range []struct {
		what     string
		retry    int
		statuses []int
		request  func(*testing.T) *http.Request
		times    int // that the server answers so
		asked    int
		status   int // in the end; 0 is the server's
	}{
		{"not without Retry", 0, all, get, 1, 1, 0},
		{"once", 3, all, get, 1, 2, 200},
		{"as often as Retry says", 3, all, get, 9, 4, 0},
		{"with its body", 3, all, put, 2, 3, 200},
		{"not after another status", 3, []int{400, 401, 403, 404, 500, 501}, get, 1, 1, 0},
		{"a POST after 429 and 503", 3, []int{429, 503}, post, 1, 2, 200},
		{"a POST not after 502 and 504: it may have been done", 3, []int{502, 504}, post, 1, 1, 0},
		{"a POST that says it can be done twice", 3, all, func(t *testing.T) *http.Request {
			req := post(t)
			req.Header.Set("Idempotency-Key", "1")
			return req
		}, 1, 2, 200},
		{"not with a body that can't be had again", 3, all, func(t *testing.T) *http.Request {
			return requestTo(t, http.MethodPut, io.MultiReader(strings.NewReader("body")))
		}, 1, 1, 0},
	} {
		for _, status := range row.statuses {
			t.Run(row.what+" "+strconv.Itoa(status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &busy{status: status, times: row.times}
					req := row.request(t)
					resp, err := (&bearer.Transport{Source: &tokens{sticky: true}, Base: server, Retry: row.retry}).RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					want := row.status
					if want == 0 {
						want = status
					}
					if resp.StatusCode != want || len(server.asked) != row.asked {
						t.Errorf("%d after %d requests, want %d after %d", resp.StatusCode, len(server.asked), want, row.asked)
					}
					for _, body := range server.bodies[1:] {
						if body != server.bodies[0] {
							t.Errorf("sent again was %q instead of %q", body, server.bodies[0])
						}
					}
				})
			})
		}
	}
}

func get(t *testing.T) *http.Request { return requestTo(t, http.MethodGet, nil) }
func put(t *testing.T) *http.Request { return requestTo(t, http.MethodPut, strings.NewReader("body")) }
func post(t *testing.T) *http.Request {
	return requestTo(t, http.MethodPost, strings.NewReader("body"))
}

func TestTheWaitIsTheServersOrGrows(t *testing.T) {
	for what, row := range map[string]struct {
		retryAfter  func() string
		least, most []time.Duration
	}{
		"seconds":  {func() string { return "7" }, seconds(7, 7), seconds(7, 7)},
		"a date":   {func() string { return time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat) }, seconds(8, 8), seconds(9, 9)},
		"nothing":  {nil, seconds(0.375, 0.75, 1.5), seconds(0.625, 1.25, 2.5)},
		"nonsense": {func() string { return "soon" }, seconds(0.375, 0.75, 1.5), seconds(0.625, 1.25, 2.5)},
		"no time":  {func() string { return "0" }, seconds(0.375, 0.75, 1.5), seconds(0.625, 1.25, 2.5)},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &busy{status: 503, times: len(row.least), retryAfter: row.retryAfter}
				resp, err := (&bearer.Transport{Source: &tokens{}, Base: server, Retry: 3}).RoundTrip(get(t))
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(resp, err)
				}
				got := server.pauses()
				if len(got) != len(row.least) {
					t.Fatalf("it waited %v", got)
				}
				for i, pause := range got {
					if pause < row.least[i] || pause > row.most[i] {
						t.Errorf("it waited %s, not between %s and %s", pause, row.least[i], row.most[i])
					}
				}
			})
		})
	}
}

func seconds(n ...float64) []time.Duration {
	var all []time.Duration
	for _, s := range n {
		all = append(all, time.Duration(s*float64(time.Second)))
	}
	return all
}

func TestARetryThatCannotSucceedIsNotWaitedFor(t *testing.T) {
	for what, row := range map[string]struct {
		retryAfter string
		timeout    time.Duration
		takes      time.Duration
		ends       error // nil: the answer is returned
	}{
		"the server asks for more than three minutes":     {"181", time.Hour, 0, nil},
		"the context ends before":                         {"60", time.Minute, 0, nil},
		"the context is cancelled while the caller waits": {"60", 0, time.Second, context.Canceled},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &busy{status: 429, times: 9, retryAfter: func() string { return row.retryAfter }}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if row.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, row.timeout)
					defer cancel()
				} else {
					time.AfterFunc(row.takes, cancel)
				}
				body := &closeRecorder{Reader: strings.NewReader("again")}
				req := put(t).WithContext(ctx)
				req.GetBody = func() (io.ReadCloser, error) { return body, nil }
				began := time.Now()
				resp, err := (&bearer.Transport{Source: &tokens{}, Base: server, Retry: 3}).RoundTrip(req)
				if !errors.Is(err, row.ends) || row.ends == nil && resp.StatusCode != 429 {
					t.Errorf("%v, %v", resp, err)
				}
				if took := time.Since(began); took != row.takes || len(server.asked) != 1 {
					t.Errorf("after %s and %d requests", took, len(server.asked))
				}
				if row.ends != nil && !body.closed {
					t.Error("the body was left open")
				}
			})
		})
	}
}

func TestA401BetweenRetriesIsAnsweredWithANewToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			got = append(got, r.Header.Get("Authorization"))
			status := []int{503, 401, 503, 200}[len(got)-1]
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		})
		resp, err := (&bearer.Transport{Source: &tokens{}, Base: base, Retry: 3}).RoundTrip(put(t))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if want := []string{"Bearer old", "Bearer old", "Bearer new", "Bearer old"}; !slices.Equal(got, want) { // the source of this test forgets
			t.Errorf("sent with %q, want %q", got, want)
		}
	})
}

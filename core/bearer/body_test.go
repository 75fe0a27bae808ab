package bearer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/graphtoken/graphtoken/core/bearer"
)

// woundBack is a body as the clients that Microsoft generates have it: it can be wound
// back, Close does nothing, and the request has no GetBody.
type woundBack struct{ *bytes.Reader }

func (woundBack) Close() error { return nil }

func TestABodyThatCanBeWoundBackIsSentAgain(t *testing.T) {
	srv, seen := resource(t, "Bearer")
	reader := bytes.NewReader([]byte("not this: body"))
	if _, err := reader.Seek(10, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, woundBack{reader})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &bearer.Transport{Source: &tokens{}}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := fmt.Sprint(seen()); resp.StatusCode != 200 || got != "[Bearer old body Bearer new body]" {
		t.Errorf("%s, seen %s", resp.Status, got)
	}
}

func TestAFileThatTheTransportClosedIsNotSentAgain(t *testing.T) {
	srv, seen := resource(t, "Bearer")
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, []byte("body"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, file)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &bearer.Transport{Source: &tokens{}}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || len(seen()) != 1 {
		t.Errorf("%s after %d requests", resp.Status, len(seen()))
	}
	if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was left open: %v", err)
	}
}

// A transport may go on with a body when its answer is there (http.RoundTripper).
func TestAnAttemptThatIsOverTakesNothingOfTheNextOnesBody(t *testing.T) {
	var first io.ReadCloser
	var got string
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		if first == nil {
			first = r.Body
			if _, err := io.ReadFull(first, make([]byte, 2)); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: 401, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		if n, err := first.Read(make([]byte, 10)); n > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			return nil, fmt.Errorf("the first attempt reads %d bytes more: %v", n, err)
		}
		if err := first.Close(); err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r.Body)
		got = string(body)
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, errors.Join(err, r.Body.Close())
	})
	body := &closeOnce{Reader: bytes.NewReader([]byte("body"))}
	req := requestTo(t, http.MethodPost, nil)
	req.Body = body
	if _, err := (&bearer.Transport{Source: &tokens{}, Base: base}).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if got != "body" || body.closed != 1 {
		t.Errorf("sent was %q, closed %d times", got, body.closed)
	}
}

type closeOnce struct {
	*bytes.Reader
	closed int
}

func (c *closeOnce) Close() error { c.closed++; return nil }

// Some clients follow redirects above the transport, and a request doesn't tell.
func TestWithPassOthersARequestToAnotherHostGoesWithoutAToken(t *testing.T) {
	source, sent := &tokens{}, ""
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		sent += r.URL.Host + " " + r.Header.Get("Authorization") + " " + string(body) + "\n"
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: http.NoBody, Request: r}, err
	})
	transport := &bearer.Transport{Source: source, Base: base, PassOthers: true}
	req := put(t)
	req.URL.Host = "contoso.sharepoint.example"
	resp, err := transport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || sent != "contoso.sharepoint.example  body\n" || len(source.asked) > 0 {
		t.Errorf("%v, sent: %s, the source was asked %d times", err, sent, len(source.asked))
	}
	req = put(t)
	req.URL.Scheme = "http" // Microsoft Graph, in the clear
	if _, err := transport.RoundTrip(req); !errors.Is(err, bearer.ErrInsecure) {
		t.Errorf("over http: %v", err)
	}
}

package bearer

import (
	"io"
	"net/http"
	"sync"
)

// body is the body of a request that may be sent more than once.
type body struct {
	req   *http.Request
	start int64 // of the body, where it can be wound back
	sent  *part // as it was sent last; nil where it can't be wound back
}

// first returns the body to send.
func (b *body) first() io.ReadCloser {
	if b.req.GetBody != nil {
		return b.req.Body
	}
	seeker, ok := b.req.Body.(io.Seeker)
	if !ok {
		return b.req.Body
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return b.req.Body
	}
	b.start, b.sent = start, &part{body: b.req.Body}
	return b.sent
}

// again returns the body to send once more; ok is false if it can't be had. The clients
// that Microsoft generates have no GetBody, and bodies that can be wound back.
func (b *body) again() (again io.ReadCloser, ok bool) {
	switch {
	case b.req.Body == nil || b.req.Body == http.NoBody:
		return b.req.Body, true
	case b.req.GetBody != nil:
		again, err := b.req.GetBody()
		return again, err == nil
	case b.sent == nil:
		return nil, false
	}
	b.sent.cut()
	if _, err := b.req.Body.(io.Seeker).Seek(b.start, io.SeekStart); err != nil {
		return nil, false
	}
	b.sent = &part{body: b.req.Body}
	return b.sent, true
}

// part is a body as one attempt sends it. A base may read it and close it when its answer
// is there already (see [http.RoundTripper]), and by then another attempt may have begun.
type part struct {
	mu   sync.Mutex
	body io.ReadCloser
	over bool
}

func (p *part) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return 0, http.ErrBodyReadAfterClose
	}
	return p.body.Read(b)
}

func (p *part) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	p.over = true
	return p.body.Close()
}

// cut leaves the body to the next attempt.
func (p *part) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

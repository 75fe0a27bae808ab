package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/machine"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// chromium is one browser for all tests. Its value is the context of newSession.
var chromium = testkit.Shared[context.Context]{Start: func(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browserPath(t)),
		chromedp.NoSandbox, // which root can't have, and pages of this machine don't need
		chromedp.IgnoreCertErrors,
		chromedp.WindowSize(720, 480),
		chromedp.WSURLReadTimeout(testkit.Patience),
	)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it, whatever happens to a session
		t.Fatalf("the browser: %v", err)
	}
	return ctx
}}

// browserPath finds a browser.
func browserPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("GRAPHTOKEN_BROWSER"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	peer.Missing(t, "browser", "install Chromium (scripts/browser), or name a browser in GRAPHTOKEN_BROWSER")
	return ""
}

// tab is a page of a browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	seen *addresses
}

// addresses are those that a tab has asked for.
type addresses struct {
	mu  sync.Mutex
	all []string
}

// newSession opens a tab with cookies of its own, as another browser has them. Its https
// addresses lead to idp.
func newSession(t *testing.T, idp *entra.Server) *tab {
	t.Helper()
	proxy := machine.Proxy(t, idp)
	return newTab(t, chromium.Get(t), chromedp.WithNewBrowserContext(func(p *target.CreateBrowserContextParams) { p.ProxyServer = proxy }))
}

// another opens a second tab of the same session.
func (b *tab) another() *tab { return newTab(b.t, b.ctx) }

func newTab(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	b := &tab{t, ctx, &addresses{}}
	b.do(nil, chromedp.Listen(ctx, func(event any) {
		if request, ok := event.(*network.EventRequestWillBeSent); ok {
			b.seen.mu.Lock()
			defer b.seen.mu.Unlock()
			b.seen.all = append(b.seen.all, request.Request.URL)
		}
	}))
	return b
}

// do fails the test if something failed.
func (b *tab) do(_ any, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%v\nthe page says %q", err, b.page())
	}
}

func (b *tab) page() string {
	ctx, cancel := context.WithTimeout(b.ctx, testkit.Patience/10)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Text("body"))
	if err != nil {
		return err.Error()
	}
	return text
}

// visit opens an address.
func (b *tab) visit(address string) {
	b.t.Helper()
	b.load(chromedp.Navigate(address))
}

// click clicks, and waits for the page that comes then.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.load(chromedp.Click(selector))
}

func (b *tab) load(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testkit.Patience)
	defer cancel()
	_, err := chromedp.RunResponse(ctx, step)
	b.do(nil, err)
}

// shows fails the test unless an element of the page has text in it.
func (b *tab) shows(selector, text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testkit.Patience)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Text(selector))
	b.do(nil, err)
	if !strings.Contains(got, text) {
		b.t.Errorf("%s is %q, want %q in it", selector, got, text)
	}
}

// last returns the last address that the tab has asked for that contains text.
func (b *tab) last(text string) string {
	b.t.Helper()
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	for i := len(b.seen.all) - 1; i >= 0; i-- {
		if strings.Contains(b.seen.all[i], text) {
			return b.seen.all[i]
		}
	}
	b.t.Fatalf("no address with %q in it was asked for, but %q", text, b.seen.all)
	return ""
}

// picture keeps what the tab shows in pictures/, for the README, where
// GRAPHTOKEN_PICTURES is set.
func (b *tab) picture(name string) {
	b.t.Helper()
	if os.Getenv("GRAPHTOKEN_PICTURES") == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	b.do(nil, err)
	b.do(nil, os.WriteFile(filepath.Join("pictures", name+".png"), png, 0o644))
}

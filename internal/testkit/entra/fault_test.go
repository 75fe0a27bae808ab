package entra_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAFaultsStatusAnswersInsteadOfTheGrant(t *testing.T) {
	app := start(t, entra.Options{Strict: true})
	first := app.signIn()
	app.idp.Inject(entra.Refresh, entra.Throttled(7*time.Second), entra.Unavailable(),
		entra.Fault{Status: 400, Header: http.Header{"X-Why": {"test"}}, Body: `{"error":"interaction_required"}`})
	r := app.refresh(first.Refresh)
	wantEqual(t, "the status", r.Status, http.StatusTooManyRequests)
	wantEqual(t, "the header Retry-After", r.Header.Get("Retry-After"), "7")
	if r := app.refresh(first.Refresh); r.Status != http.StatusServiceUnavailable {
		t.Errorf("got %d", r.Status)
	}
	r = app.refresh(first.Refresh)
	wantEqual(t, "the error", r.Error, "interaction_required")
	wantEqual(t, "the header X-Why", r.Header.Get("X-Why"), "test")
	// None of them touched the token.
	app.refresh(first.Refresh).must(t)
	n := app.idp.Grants().ByType[entra.Refresh]
	if n != (entra.Counts{Received: 4, Faulted: 3, Processed: 1, Succeeded: 1}) {
		t.Errorf("counted %+v", n)
	}
}

func TestAnAnswerCanBeLostAfterTheTokenWasSpent(t *testing.T) {
	for name, f := range map[string]entra.Fault{
		"the connection is cut":    {Drop: true},
		"a gateway answers for it": {Status: http.StatusGatewayTimeout, Process: true},
		"after a delay, it is cut": {After: time.Millisecond, Drop: true},
		"before and after a delay": {Before: time.Millisecond, After: time.Millisecond, Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			app := start(t, entra.Options{Strict: true})
			first := app.signIn()
			app.idp.Inject(entra.Refresh, f)
			r, err := app.try("common", form("client_id", entra.PublicClient, "grant_type", entra.Refresh, "refresh_token", first.Refresh))
			if err == nil && r.Status == http.StatusOK {
				t.Fatal("the answer arrived")
			}
			app.refresh(first.Refresh).refused(t, "invalid_grant", 70000)
			g := app.idp.Grants()
			wantEqual(t, "refreshes that succeeded", g.RefreshesSucceeded, 1)
			wantEqual(t, "replies that were lost", g.RepliesLost, 1)
			wantEqual(t, "spent refresh tokens", g.ReuseDetected, 1)
		})
	}
}

func TestAHookSeesTheRequestButNoSecret(t *testing.T) {
	app := start(t, entra.Options{})
	first := app.signIn()
	var seen []entra.Request
	app.idp.OnToken(func(r entra.Request) entra.Fault {
		seen = append(seen, r)
		_ = app.idp.Grants() // a hook may ask the server
		if r.N == 2 {
			return entra.Unavailable()
		}
		return entra.Fault{}
	})
	app.refresh(first.Refresh).must(t)
	if r := app.refresh(first.Refresh); r.Status != http.StatusServiceUnavailable {
		t.Errorf("the second got %d", r.Status)
	}
	app.idp.OnToken(nil)
	app.refresh(first.Refresh).must(t)
	if len(seen) != 2 || seen[0].Username != entra.Ana || seen[0].Grant != entra.Refresh || seen[0].ClientID != entra.PublicClient {
		t.Fatalf("saw %+v", seen)
	}
	if text := fmt.Sprintf("%+v %+v", seen, app.idp.Grants()); strings.Contains(text, first.Refresh) || strings.Contains(text, first.Access) {
		t.Error("a token stands in what is meant to be printed")
	}
}

func TestAGateHoldsRequestsBeforeTheyAreProcessed(t *testing.T) {
	app := start(t, entra.Options{Strict: true})
	first := app.signIn()
	ctx := within(t)
	gate := app.idp.Hold(entra.Refresh)
	var all sync.WaitGroup
	answers := make(chan response, 3)
	for range 3 {
		all.Go(func() {
			r, err := app.try("common", form("client_id", entra.PublicClient, "grant_type", entra.Refresh, "refresh_token", first.Refresh))
			if err != nil {
				t.Error(err)
			}
			answers <- r
		})
	}
	if err := gate.Await(ctx, 3); err != nil {
		t.Fatal(err)
	}
	n := app.idp.Grants().ByType[entra.Refresh]
	wantEqual(t, "requests that were processed", n.Processed, 0)
	wantEqual(t, "requests that were received", n.Received, 3)
	gate.Pass(1)
	if r := <-answers; r.Status != http.StatusOK {
		t.Errorf("the one let through got %v", r.fields)
	}
	if got := gate.Waiting(); got != 2 {
		t.Errorf("%d still wait, want 2", got)
	}
	gate.Open()
	all.Wait()
	for range 2 {
		if r := <-answers; r.Error != "invalid_grant" {
			t.Errorf("a latecomer got %v", r.fields)
		}
	}
}

func TestAReplyCanBeHeldAfterProcessing(t *testing.T) {
	app := start(t, entra.Options{})
	first := app.signIn()
	gate := app.idp.HoldReply(entra.Refresh)
	done := make(chan response, 1)
	go func() {
		r, err := app.try("common", form("client_id", entra.PublicClient, "grant_type", entra.Refresh, "refresh_token", first.Refresh))
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	if err := gate.Await(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if n := app.idp.Grants().RefreshesSucceeded; n != 1 {
		t.Errorf("%d refreshes, want the held one", n)
	}
	select {
	case r := <-done:
		t.Errorf("the reply got out: %v", r.fields)
	default:
	}
	gate.Open()
	(<-done).must(t)
}

// senders are the ways a request's sender can be gone, by protocol.
var senders = []struct {
	name  string
	http2 bool
}{{"over HTTP/1.1", false}, {"over HTTP/2", true}}

func TestBothProtocolsAreSpoken(t *testing.T) {
	app := start(t, entra.Options{})
	for _, c := range senders {
		if err := send(within(t), app.idp.Addr(), app.idp.CertPEM(), c.http2, "any"); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestARequestWhoseSenderGaveUpIsDropped(t *testing.T) {
	for _, c := range senders {
		t.Run(c.name, func(t *testing.T) {
			app := start(t, entra.Options{Strict: true})
			first := app.signIn()
			gate := app.idp.Hold(entra.Refresh)
			ctx, giveUp := context.WithCancel(within(t))
			failed := make(chan error, 1)
			go func() { failed <- send(ctx, app.idp.Addr(), app.idp.CertPEM(), c.http2, first.Refresh) }()
			if err := gate.Await(ctx, 1); err != nil {
				t.Fatal(err)
			}
			giveUp()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Fatalf("the sender says %v", err)
			}
			expectDropped(t, app, gate, first)
		})
	}
}

func TestARequestWhoseSenderWasKilledIsDropped(t *testing.T) {
	for _, c := range senders {
		t.Run(c.name, func(t *testing.T) {
			app := start(t, entra.Options{Strict: true})
			first := app.signIn()
			gate := app.idp.Hold(entra.Refresh)

			order, err := json.Marshal(killed{app.idp.Addr(), app.idp.CertPEM(), c.http2, first.Refresh})
			if err != nil {
				t.Fatal(err)
			}
			child := exec.Command(os.Args[0], "-test.run=^TestMain$")
			child.Env = append(os.Environ(), killedEnv+"="+string(order))
			child.Stderr = os.Stderr
			process := testkit.Start(t, child, os.Kill)
			if err := gate.Await(within(t), 1); err != nil {
				t.Fatal(err)
			}
			process.End(t, os.Kill) // its connections aren't closed in order
			expectDropped(t, app, gate, first)
		})
	}
}

// expectDropped waits until the server knows, opens the gate and spends the token the
// dropped request carried.
func expectDropped(t *testing.T, app raw, gate *entra.Gate, first response) {
	t.Helper()
	if err := app.idp.Wait(within(t), func(g entra.Grants) bool { return g.ByType[entra.Refresh].Dropped == 1 }); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	app.refresh(first.Refresh).must(t)
	g := app.idp.Grants()
	if n := g.ByType[entra.Refresh]; n != (entra.Counts{Received: 2, Dropped: 1, Processed: 1, Succeeded: 1}) {
		t.Errorf("counted %+v", n)
	}
	if g.ReuseDetected != 0 {
		t.Error("the dropped request had spent the token")
	}
	e := g.Log[len(g.Log)-2]
	wantEqual(t, "the outcome", e.Outcome, "dropped")
	wantEqual(t, "the user", e.Username, entra.Ana)
}

// killed is what a child process of the test is told to do.
type killed struct {
	Addr    string
	CA      []byte
	HTTP2   bool
	Refresh string
}

const killedEnv = "TESTKIT_SEND_AND_BE_KILLED"

func TestMain(m *testing.M) {
	if order := os.Getenv(killedEnv); order != "" {
		var k killed
		err := json.Unmarshal([]byte(order), &k)
		if err == nil {
			err = send(context.Background(), k.Addr, k.CA, k.HTTP2, k.Refresh)
		}
		fmt.Fprintln(os.Stderr, "not killed in time:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// send is one refresh over a connection of its own.
func send(ctx context.Context, addr string, ca []byte, http2 bool, refresh string) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: http2,
	}
	defer transport.CloseIdleConnections()
	form := url.Values{"client_id": {entra.PublicClient}, "grant_type": {entra.Refresh}, "refresh_token": {refresh}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, microsoft+"common/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	if got := resp.ProtoMajor == 2; got != http2 {
		err = fmt.Errorf("spoke %s", resp.Proto)
	}
	return errors.Join(err, resp.Body.Close())
}

func TestClosingTheServerEndsHeldRequests(t *testing.T) {
	app := start(t, entra.Options{})
	first := app.signIn()
	gate := app.idp.Hold("")
	failed := make(chan error, 1)
	go func() {
		_, err := app.try("common", form("client_id", entra.PublicClient, "grant_type", entra.Refresh, "refresh_token", first.Refresh))
		failed <- err
	}()
	if err := gate.Await(within(t), 1); err != nil {
		t.Fatal(err)
	}
	app.idp.Close()
	if err := <-failed; err == nil {
		t.Error("a held request was answered by a closed server")
	}
	if err := app.idp.Wait(within(t), func(g entra.Grants) bool { return g.Total.Dropped == 1 }); err != nil {
		t.Error(err)
	}
}

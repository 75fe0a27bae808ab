package bitwardentest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// The access token, and what was encrypted for it and by it, are those that Bitwarden's
// sources publish for tests: crates/fake-server of github.com/bitwarden/sdk-sm.
func TestKeysAndEncStringsAreBitwardens(t *testing.T) {
	seed, err := base64.StdEncoding.DecodeString("X8vbvA0bduihIDe/qrzIQQ==")
	if err != nil {
		t.Fatal(err)
	}
	k := shareableKey(seed)
	if got := base64.StdEncoding.EncodeToString(k[:]); got != "H9/oIRLtL9nGCQOVDjSMoEbJsjWXSOCb3qeyDt6ckzS3FhyboEDWyTP/CQfbIszNmAVg2ExFganG1FVFGXO/Jg==" {
		t.Errorf("the key is %s", got)
	}
	payload, err := k.open("2.E9fE8+M/VWMfhhim1KlCbQ==|eLsHR484S/tJbIkM6spnG/HP65tj9A6Tba7kAAvUp+rYuQmGLixiOCfMsqt5OvBctDfvvr/AesBu7cZimPLyOEhqEAjn52jF0eaI38XZfeOG2VJl0LOf60Wkfh3ryAMvfvLj3G4ZCNYU8sNgoC2+IQ==|lNApuCQ4Pyakfo/wwuuajWNaEX/2MW8/3rjXB/V7n+k=")
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct{ EncryptionKey []byte }
	if err := json.Unmarshal([]byte(payload), &decoded); err != nil || copy(k[:], decoded.EncryptionKey) != len(k) {
		t.Fatalf("the payload is %q: %v", payload, err)
	}
	if got, err := k.open("2.pMS6/icTQABtulw52pq2lg==|XXbxKxDTh+mWiN1HjH2N1w==|Q6PkuT+KX/axrgN9ubD5Ajk2YNwxQkgs3WJM0S0wtG8="); got != "TEST" || err != nil {
		t.Errorf("a secret's key is %q, %v", got, err)
	}
	for _, plain := range []string{"", "x", strings.Repeat("é", 5000), strings.Repeat("x", 16)} {
		if got, err := k.open(k.seal(plain)); got != plain || err != nil {
			t.Errorf("%.20q came back as %.20q, %v", plain, got, err)
		}
	}
	for _, broken := range []string{"", "2.", "2.||", "0.AAAA|AAAA", "2.AAAA|AAAA", newKey().seal("of another key"), k.seal("x") + "="} {
		if got, err := k.open(broken); err == nil {
			t.Errorf("%q was opened: %q", broken, got)
		}
	}
}

// client is one that speaks to the server without any SDK.
type client struct {
	t      *testing.T
	server *Server
	http   *http.Client
	bearer string
}

func login(t *testing.T, s *Server, accessToken string) *client {
	t.Helper()
	c := &client{t: t, server: s, http: http.DefaultClient}
	if s.url == New(Options{}).url {
		c.http = &http.Client{Transport: s.Transport()}
	}
	status, body := c.token(accessToken)
	if status != http.StatusOK {
		t.Fatalf("the login was answered %d %v", status, body)
	}
	c.bearer = body["access_token"].(string)
	return c
}

func (c *client) token(accessToken string) (int, map[string]any) {
	c.t.Helper()
	id, rest, _ := strings.Cut(strings.TrimPrefix(accessToken, "0."), ".")
	secret, _, _ := strings.Cut(rest, ":")
	return c.form(url.Values{
		"grant_type": {"client_credentials"}, "scope": {"api.secrets"}, "client_id": {id}, "client_secret": {secret},
	})
}

func (c *client) form(form url.Values) (int, map[string]any) {
	c.t.Helper()
	res, err := c.http.PostForm(c.server.IdentityURL()+"/connect/token", form)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.read(res)
}

func (c *client) read(res *http.Response) (int, map[string]any) {
	c.t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	body := map[string]any{"retry-after": res.Header.Get("Retry-After")}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &body); err != nil {
			c.t.Fatalf("%q: %v", text, err)
		}
	}
	return res.StatusCode, body
}

func (c *client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.server.APIURL()+path, bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.bearer)
	return c.http.Do(req)
}

func (c *client) call(method, path string, body any) (int, map[string]any) {
	c.t.Helper()
	res, err := c.send(c.t.Context(), method, path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.read(res)
}

// expect is call, for the answer with this status.
func (c *client) expect(status int, method, path string, body any) map[string]any {
	c.t.Helper()
	got, answer := c.call(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s was answered %d %v, want %d", method, path, got, answer, status)
	}
	return answer
}

func (c *client) sealed(name, value string, projects ...string) map[string]any {
	return map[string]any{
		"key": c.server.Encrypt(name), "value": c.server.Encrypt(value), "note": c.server.Encrypt(""), "projectIds": projects,
	}
}

func (c *client) secretsPath() string {
	return "/organizations/" + c.server.Organization() + "/secrets"
}

func TestASecretIsCreatedReadChangedAndDeleted(t *testing.T) {
	s := Start(t, Options{})
	c := login(t, s, s.AccessToken())
	sent := c.sealed("name", "value", s.Project())
	created := c.expect(200, "POST", c.secretsPath(), sent)
	id := created["id"].(string)
	wantEqual(t, "created's value", created["value"], sent["value"])
	wantEqual(t, "created's organizationId", created["organizationId"], s.Organization())
	got := c.expect(200, "GET", "/secrets/"+strings.ToUpper(id), nil)
	wantEqual(t, "revisionDate", got["revisionDate"], created["revisionDate"])
	wantEqual(t, "value", got["value"], sent["value"])
	if p := got["projects"].([]any); len(p) != 1 || p[0].(map[string]any)["id"] != s.Project() {
		t.Errorf("it is in the projects %v", p)
	}
	updated := c.expect(200, "PUT", "/secrets/"+id, c.sealed("name", "other", s.Project()))
	if updated["revisionDate"] == created["revisionDate"] {
		t.Errorf("an update left the revision date at %v", updated["revisionDate"])
	}
	wantEqual(t, "the creation date after an update", updated["creationDate"], created["creationDate"])
	second := c.expect(200, "POST", c.secretsPath(), c.sealed("name", "second", s.Project()))["id"].(string)
	if listed := c.expect(200, "GET", c.secretsPath(), nil)["secrets"].([]any); len(listed) != 2 || listed[0].(map[string]any)["value"] != nil {
		t.Errorf("listed %v", listed)
	}
	if many := c.expect(200, "POST", "/secrets/get-by-ids", map[string]any{"ids": []string{second, id}})["data"].([]any); len(many) != 2 || many[0].(map[string]any)["id"] != second {
		t.Errorf("got by ids %v", many)
	}
	stored := s.Secrets()
	if len(stored) != 2 || stored[0].ID != id || stored[0].Key != "name" || stored[0].Value != "other" || stored[1].Value != "second" {
		t.Errorf("stored is %+v", stored)
	}

	c.expect(404, "POST", "/secrets/delete", []string{id, newID()})
	if deleted := c.expect(200, "POST", "/secrets/delete", []string{id})["data"].([]any); len(deleted) != 1 || deleted[0].(map[string]any)["error"] != nil {
		t.Errorf("deleted %v", deleted)
	}
	c.expect(404, "POST", "/secrets/delete", []string{id})
	c.expect(404, "GET", "/secrets/"+id, nil)
	c.expect(404, "PUT", "/secrets/"+id, c.sealed("name", "late", s.Project()))
	c.expect(404, "POST", "/secrets/get-by-ids", map[string]any{"ids": []string{second, id}})
	if stored := s.Secrets(); len(stored) != 1 || stored[0].ID != second {
		t.Errorf("left is %+v", stored)
	}
}

func TestSyncTellsWhetherAnythingChanged(t *testing.T) {
	s := Start(t, Options{})
	c := login(t, s, s.AccessToken())
	changed := func(query string) (bool, any) {
		t.Helper()
		body := c.expect(200, "GET", c.secretsPath()+"/sync"+query, nil)
		return body["hasChanges"].(bool), body["secrets"]
	}
	since := func(d time.Time) string {
		return "?lastSyncedDate=" + url.QueryEscape(d.Format("2006-01-02T15:04:05.999999999-07:00"))
	}
	id := s.Add(Secret{Key: "name", Value: "value"})
	if yes, all := changed(""); !yes || len(all.(map[string]any)["data"].([]any)) != 1 {
		t.Errorf("without a date: %v, %v", yes, all)
	}
	last := s.Secrets()[0].Revised
	if yes, _ := changed(since(last)); !yes {
		t.Error("nothing has changed since the last change's own date")
	}
	if yes, all := changed(since(last.Add(time.Nanosecond))); yes || all != nil {
		t.Errorf("since after the last change: %v, %v", yes, all)
	}
	s.Set(id, "other")
	if yes, _ := changed(since(last.Add(time.Nanosecond))); !yes {
		t.Error("a later change isn't one")
	}
	c.expect(400, "GET", c.secretsPath()+"/sync"+since(time.Now().Add(time.Hour)), nil)
	c.expect(400, "GET", c.secretsPath()+"/sync?lastSyncedDate=yesterday", nil)
}

func TestTheServerRefusesWhatBitwardenRefuses(t *testing.T) {
	s := Start(t, Options{})
	c := login(t, s, s.AccessToken())
	id := s.Add(Secret{Key: "name", Value: "value"})
	for what, edit := range map[string]func(m map[string]any){
		"no value":                   func(m map[string]any) { delete(m, "value") },
		"plain text":                 func(m map[string]any) { m["value"] = "plain" },
		"35,001 encrypted":           func(m map[string]any) { m["value"] = strings.Repeat("A", 35_001) },
		"25,000 characters of 2":     func(m map[string]any) { m["value"] = s.Encrypt(strings.Repeat("é", 25_000)) },
		"a key of 1,001 encrypted":   func(m map[string]any) { m["key"] = s.Encrypt(strings.Repeat("x", 700)) },
		"a note of 10,001 encrypted": func(m map[string]any) { m["note"] = s.Encrypt(strings.Repeat("x", 7_500)) },
		"two projects":               func(m map[string]any) { m["projectIds"] = []string{s.Project(), s.Project()} },
	} {
		m := c.sealed("name", "value", s.Project())
		edit(m)
		for _, r := range [][2]string{{"POST", c.secretsPath()}, {"PUT", "/secrets/" + id}} {
			if status, body := c.call(r[0], r[1], m); status != 400 || body["message"] != "The model state is invalid." || len(body["validationErrors"].(map[string]any)) != 1 {
				t.Errorf("%s with %s was answered %d %v", r[0], what, status, body)
			}
		}
	}
	c.expect(200, "PUT", "/secrets/"+id, c.sealed("name", strings.Repeat("x", 25_000), s.Project()))
	c.expect(400, "POST", c.secretsPath(), "not an object")
	c.expect(404, "POST", c.secretsPath(), c.sealed("name", "value"))
	c.expect(404, "POST", c.secretsPath(), c.sealed("name", "value", newID()))
	c.expect(404, "PUT", "/secrets/"+id, c.sealed("name", "value"))
	c.expect(404, "GET", "/organizations/"+newID()+"/secrets", nil)
	c.bearer += "x"
	c.expect(401, "GET", "/secrets/"+id, nil)

	form := func() url.Values {
		id, rest, _ := strings.Cut(s.AccessToken()[2:], ".")
		secret, _, _ := strings.Cut(rest, ":")
		return url.Values{"grant_type": {"client_credentials"}, "scope": {"api.secrets"}, "client_id": {id}, "client_secret": {secret}}
	}
	for field, want := range map[string]string{
		"client_id": "invalid_client", "client_secret": "invalid_client", "scope": "invalid_scope", "grant_type": "unsupported_grant_type",
	} {
		f := form()
		f.Set(field, "x")
		status, body := c.form(f)
		wantEqual(t, "the status", status, 400)
		wantEqual(t, "error", body["error"], want)
	}
}

func TestAccountsSeeTheirProjects(t *testing.T) {
	s := Start(t, Options{})
	other := s.NewProject("other")
	mine, theirs := s.Add(Secret{Key: "mine", Value: "1", Project: other}), s.Add(Secret{Key: "theirs", Value: "2"})
	c := login(t, s, s.NewAccount(Account{Projects: []string{other}}))
	c.expect(200, "GET", "/secrets/"+mine, nil)
	c.expect(404, "GET", "/secrets/"+theirs, nil)
	c.expect(404, "PUT", "/secrets/"+theirs, c.sealed("theirs", "3", s.Project()))
	c.expect(404, "PUT", "/secrets/"+mine, c.sealed("mine", "3", s.Project()))
	c.expect(404, "POST", c.secretsPath(), c.sealed("new", "3", s.Project()))
	c.expect(404, "POST", "/secrets/get-by-ids", map[string]any{"ids": []string{mine, theirs}})
	if listed := c.expect(200, "GET", c.secretsPath(), nil)["secrets"].([]any); len(listed) != 1 {
		t.Errorf("listed %v", listed)
	}
	deleted := c.expect(200, "POST", "/secrets/delete", []string{mine, theirs})["data"].([]any)
	if deleted[0].(map[string]any)["error"] != nil || deleted[1].(map[string]any)["error"] != "access denied" {
		t.Errorf("deleted %v", deleted)
	}

	r := login(t, s, s.NewAccount(Account{ReadOnly: true}))
	got := r.expect(200, "GET", "/secrets/"+theirs, nil)
	wantEqual(t, "read", got["read"], true)
	wantEqual(t, "write", got["write"], false)
	r.expect(404, "PUT", "/secrets/"+theirs, c.sealed("theirs", "3", s.Project()))
	r.expect(404, "POST", c.secretsPath(), c.sealed("new", "3", s.Project()))
	if stored := s.Secrets(); len(stored) != 1 || stored[0].Value != "2" {
		t.Errorf("stored is %+v", stored)
	}

	// An administrator may move a secret, and then others see it.
	all := login(t, s, s.AccessToken())
	all.expect(200, "PUT", "/secrets/"+theirs, all.sealed("theirs", "4", other))
	c.expect(200, "GET", "/secrets/"+theirs, nil)
}

func TestALoginEndsAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		token := s.NewAccount(Account{})
		c := login(t, s, token)
		time.Sleep(time.Hour - time.Second)
		c.expect(200, "GET", c.secretsPath(), nil)
		time.Sleep(time.Second)
		c.expect(401, "GET", c.secretsPath(), nil)

		c = login(t, s, token)
		s.Revoke(token)
		c.expect(200, "GET", c.secretsPath(), nil)
		status, body := c.token(token)
		wantEqual(t, "the status", status, 400)
		wantEqual(t, "error", body["error"], "invalid_client")
		s.ExpireBearers()
		c.expect(401, "GET", c.secretsPath(), nil)
	})
}

func TestLoginsAndRequestsAreLimitedInTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{LoginsPerMinute: 2, RequestsPerSecond: 3})
		c := login(t, s, s.AccessToken())
		login(t, s, s.AccessToken())
		time.Sleep(20 * time.Second)
		status, body := c.token(s.AccessToken())
		wantEqual(t, "the status", status, 429)
		wantEqual(t, "retry-after", body["retry-after"], "40")
		login(t, s, s.NewAccount(Account{})) // another's logins are its own
		time.Sleep(40 * time.Second)
		login(t, s, s.AccessToken())

		for range 3 {
			c.expect(200, "GET", c.secretsPath(), nil)
		}
		body = c.expect(429, "GET", c.secretsPath(), nil)
		wantEqual(t, "retry-after", body["retry-after"], "1")
		wantEqual(t, "message", body["message"], slowDown)
		time.Sleep(time.Second)
		c.expect(200, "GET", c.secretsPath(), nil)
	})
}

func TestDatesAreCutByTheDatabase(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)
	s := New(Options{DatePrecision: time.Microsecond, Clock: func() time.Time { return at }})
	c := login(t, s, s.AccessToken())
	at = at.Add(time.Hour / 2)
	created := c.expect(200, "POST", c.secretsPath(), c.sealed("name", "value", s.Project()))
	got := c.expect(200, "GET", "/secrets/"+created["id"].(string), nil)
	wantEqual(t, "created's revisionDate", created["revisionDate"], "2026-03-01T12:30:00.1234567Z")
	wantEqual(t, "revisionDate", got["revisionDate"], "2026-03-01T12:30:00.123456Z")
	c.expect(200, "PUT", "/secrets/"+created["id"].(string), c.sealed("name", "value", s.Project()))
	if again := c.expect(200, "GET", "/secrets/"+created["id"].(string), nil); again["revisionDate"] != "2026-03-01T12:30:00.123457Z" {
		t.Errorf("with the clock standing, the next change is of %v", again["revisionDate"])
	}
}

func TestAnInjectedFaultMakesTheNextRequestsFail(t *testing.T) {
	s := Start(t, Options{})
	c := login(t, s, s.AccessToken())
	id := s.Add(Secret{Key: "name", Value: "before"})
	value := func() string { return s.Secrets()[0].Value }

	s.Inject(Update, Throttled(1500*time.Millisecond), Fault{Status: 504, Process: true}, Fault{Drop: true})
	c.expect(200, "GET", "/secrets/"+id, nil) // of another route
	body := c.expect(429, "PUT", "/secrets/"+id, c.sealed("name", "1", s.Project()))
	wantEqual(t, "retry-after", body["retry-after"], "2")
	wantEqual(t, "the stored value", value(), "before")
	c.expect(504, "PUT", "/secrets/"+id, c.sealed("name", "2", s.Project()))
	if value() != "2" {
		t.Errorf("behind a gateway's error, stored is %s", value())
	}
	if res, err := c.send(t.Context(), "PUT", "/secrets/"+id, c.sealed("name", "3", s.Project())); err == nil || value() != "2" {
		t.Errorf("the connection wasn't cut: %v; stored is %s", res, value())
	}
	s.Inject(Any, Fault{Drop: true, Process: true})
	if res, err := c.send(t.Context(), "PUT", "/secrets/"+id, c.sealed("name", "4", s.Project())); err == nil || value() != "4" {
		t.Errorf("the connection wasn't cut: %v; stored is %s", res, value())
	}
	s.Inject(Any, Fault{Status: 200, Body: `{"id": 1}`})
	if body := c.expect(200, "GET", "/secrets/"+id, nil); body["id"] != 1.0 {
		t.Errorf("the body is %v", body)
	}

	s.Fail(2)
	c.expect(503, "GET", "/secrets/"+id, nil)
	c.expect(503, "GET", "/secrets/"+id, nil)
	c.expect(200, "GET", "/secrets/"+id, nil)
	s.Fail(-1)
	c.expect(503, "GET", "/secrets/"+id, nil)
	c.expect(503, "GET", "/secrets/"+id, nil)
	s.Fail(0)
	c.expect(200, "GET", "/secrets/"+id, nil)
}

func TestAHeldRequestWhoseSenderLeavesChangesNothing(t *testing.T) {
	s := New(Options{})
	c := login(t, s, s.AccessToken())
	id := s.Add(Secret{Key: "name", Value: "before"})
	put := func(ctx context.Context, value string) <-chan error {
		done := make(chan error, 1)
		go func() {
			res, err := c.send(ctx, "PUT", "/secrets/"+id, c.sealed("name", value, s.Project()))
			if err == nil {
				res.Body.Close()
			}
			done <- err
		}()
		return done
	}
	arrived := func(n int) {
		t.Helper()
		if err := s.Await(t.Context(), Update, n); err != nil {
			t.Fatal(err)
		}
	}
	value := func() string { return s.Secrets()[0].Value }

	release, reply := make(chan struct{}), make(chan struct{})
	s.Inject(Update, Fault{Hold: release}, Fault{Hold: release}, Fault{HoldReply: reply})
	ctx, cancel := context.WithCancel(t.Context())
	left := put(ctx, "left")
	arrived(1)
	stayed := put(t.Context(), "stayed")
	arrived(2)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the sender that left heard %v", err)
	}
	if got := value(); got != "before" {
		t.Errorf("while the other is held, stored is %q", got)
	}
	close(release)
	if err := <-stayed; err != nil || value() != "stayed" {
		t.Errorf("stored is %q, %v", value(), err)
	}

	// One that leaves before its answer has been processed all the same.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	unanswered := put(ctx, "unanswered")
	arrived(3)
	testkit.Until(t, "the request is processed", func() bool { return value() == "unanswered" })
	cancel()
	if err := <-unanswered; !errors.Is(err, context.Canceled) {
		t.Errorf("the sender that left heard %v", err)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	s := Start(t, Options{})
	c := login(t, s, s.AccessToken())
	s.Fail(1)
	c.expect(503, "GET", c.secretsPath(), nil)
	c.expect(200, "GET", c.secretsPath(), nil)
	c.expect(404, "GET", "/secrets/"+newID(), nil)
	got := s.Counts()
	wantEqual(t, "Login", got[Login], 1)
	wantEqual(t, "List", got[List], 2)
	wantEqual(t, "Get", got[Get], 1)
	wantEqual(t, "all requests", got.Total(), 4)
	if err := s.Await(t.Context(), Any, 4); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Await(ctx, Any, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("a fifth request arrived: %v", err)
	}
	s.ResetCounts()
	if got := s.Counts().Total(); got != 0 {
		t.Errorf("counted %d after the reset", got)
	}
}

func TestTheServerCanBeReachedByHTTPS(t *testing.T) {
	s := Start(t, Options{TLS: true})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CertPEM()) {
		t.Fatalf("no certificate in %q", s.CertPEM())
	}
	c := &client{t: t, server: s, http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}}
	defer c.http.CloseIdleConnections()
	if status, body := c.token(s.AccessToken()); status != 200 {
		t.Errorf("the login was answered %d %v", status, body)
	}
	if !strings.HasPrefix(s.APIURL(), "https://127.0.0.1:") {
		t.Errorf("it listens at %s", s.APIURL())
	}
	var unknown x509.UnknownAuthorityError
	if _, err := http.Get(s.APIURL()); !errors.As(err, &unknown) {
		t.Errorf("one that doesn't trust it heard %v", err)
	}
}

func TestTheTransportGoesNowhereElse(t *testing.T) {
	s := New(Options{})
	c := http.Client{Transport: s.Transport()}
	if res, err := c.Get("http://bitwarden.invalid.example/api/secrets/x"); err == nil {
		t.Errorf("answered %v", res)
	}
	s.Inject(Any, Fault{Drop: true})
	if res, err := c.Get(s.APIURL() + "/secrets/x"); !errors.Is(err, errCut) {
		t.Errorf("answered %v, %v", res, err)
	}
}

// wantEqual compares one thing of an answer, or one counter. what names it.
func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// account is a user's tokens in a store of its own, refreshed by answer.
type account struct {
	store   *core.Store
	refresh core.RefreshFunc
	asked   atomic.Int64 // refreshes
}

func (a *account) TokenSource(scopes ...string) *core.TokenSource {
	return a.store.TokenSource("k", tokencache.Query{HomeAccountID: "ana.contoso", ClientID: "client", Scopes: scopes}, a.refresh)
}

const refreshToken = "0.the-refresh-token"

func response(secret string, expiresIn int) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken: secret, RefreshToken: refreshToken, Scope: "User.Read", ExpiresIn: expiresIn,
		ClientID: "client", Tenant: "contoso", HomeAccountID: "ana.contoso", GrantType: "authorization_code", Sent: time.Now(),
	}
}

// newAccount signs a user in whose token lasts so many seconds; err is what the provider
// answers a refresh.
func newAccount(t testing.TB, expiresIn int, err error) *account {
	t.Helper()
	backend, newErr := memory.New(memory.Options{})
	if newErr != nil {
		t.Fatal(newErr)
	}
	a := &account{store: core.NewStore(backend)}
	a.refresh = func(_ context.Context, c *tokencache.Cache, _ core.Refresh) error {
		n := a.asked.Add(1)
		if err != nil {
			return err
		}
		return c.Put(response(fmt.Sprint("access-", n), 3600))
	}
	if _, err := a.store.Put(t.Context(), "k", response("access-0", expiresIn)); err != nil {
		t.Fatal(err)
	}
	return a
}

func newAgent(t testing.TB, o Options, users ...string) *Agent {
	t.Helper()
	s := make(map[string]Sources)
	for _, name := range users {
		s[name] = newAccount(t, 3600, nil)
	}
	if o.Scopes == nil {
		o.Scopes = []string{"User.Read"}
	}
	a, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask sends a request with the agent's secret to the handler itself.
func ask(a *Agent, path string, header ...string) (status int, body map[string]any) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set(identityHeader, a.secret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	_ = json.Unmarshal(w.Body.Bytes(), &body)
	return w.Code, body
}

func code(body map[string]any) string {
	e, _ := body["error"].(map[string]any)
	text, _ := e["code"].(string)
	return text
}

func TestATokenIsAnsweredAsTheAzureCLIPrintsIt(t *testing.T) {
	status, body := ask(newAgent(t, Options{}, "ana"), "/token")
	seconds, _ := body["expires_on"].(float64)
	local, err := time.ParseInLocation("2006-01-02 15:04:05.000000", fmt.Sprint(body["expiresOn"]), time.Local)
	if status != http.StatusOK || body["accessToken"] != "access-0" || body["tokenType"] != "Bearer" || err != nil || local.Unix() != int64(seconds) || body["user"] != "ana" {
		t.Errorf("%d, %v, %v", status, body, err)
	}
}

func TestAManagedIdentityIsAnsweredAsAppServiceDoes(t *testing.T) {
	a := newAgent(t, Options{}, "ana")
	status, body := ask(a, "/identity?api-version=2019-08-01&resource=https://graph.microsoft.com")
	seconds, isText := body["expires_on"].(string)
	if status != http.StatusOK || body["access_token"] != "access-0" || body["token_type"] != "Bearer" || body["resource"] != "https://graph.microsoft.com" || !isText || len(seconds) != 10 {
		t.Errorf("%d, %v", status, body)
	}
	for _, query := range []string{"resource=https://graph.microsoft.com", "api-version=2017-09-01&resource=https://graph.microsoft.com", "api-version=2019-08-01"} {
		if status, body := ask(a, "/identity?"+query); status != http.StatusBadRequest || body["statusCode"] != 400.0 || body["message"] == "" {
			t.Errorf("%s: %d, %v", query, status, body)
		}
	}
}

// Azure's SDKs send the variable AZURE_CLIENT_ID as client_id.
func TestAManagedIdentityMayBeAskedForByTheApplicationsOwnID(t *testing.T) {
	one, two := newAgent(t, Options{}, "ana"), newAgent(t, Options{}, "ana", "bo")
	for _, c := range []struct {
		name   string
		agent  *Agent
		query  string
		status int
	}{
		{"the application's ID", one, "client_id=CLIENT", http.StatusOK},
		{"the user's name", one, "client_id=Ana", http.StatusOK},
		{"another application's ID", one, "client_id=other", http.StatusNotFound},
		{"the application's ID as another parameter", one, "mi_res_id=client", http.StatusNotFound},
		{"the application's ID where two users are", two, "client_id=client", http.StatusNotFound},
	} {
		status, body := ask(c.agent, "/identity?api-version=2019-08-01&resource=https://graph.microsoft.com&"+c.query)
		if status != c.status || status != http.StatusOK && code(body) != client.CodeUnknownUser {
			t.Errorf("%s: %d, %v", c.name, status, body)
		}
	}
}

// App Service refuses an identity that is named by two parameters, RFC 6749 (section 3.2) a
// parameter that is sent twice.
func TestARequestThatNamesTwoUsersIsRefused(t *testing.T) {
	const identity = "/identity?api-version=2019-08-01&resource=https://graph.microsoft.com"
	a := newAgent(t, Options{}, "ana", "bo")
	for _, c := range []struct {
		name, path string
		told       string // in the message; empty: a token is answered
	}{
		{"an identity has one name", identity + "&mi_res_id=bo", ""},
		{"a parameter without a value names nobody", identity + "&client_id=&principal_id=bo&object_id=&mi_res_id=", ""},
		{"an identity has two names", identity + "&client_id=ana&mi_res_id=bo", "client_id and mi_res_id"},
		{"an identity has the same name twice", identity + "&principal_id=ana&object_id=ana", "principal_id and object_id"},
		{"an identity's parameter is sent twice", identity + "&client_id=ana&client_id=bo", "client_id"},
		{"a resource is sent twice", identity + "&client_id=ana&resource=https://vault.azure.net", "resource"},
		{"a user is sent twice", "/token?user=ana&user=bo", "user"},
		{"a scope is sent twice", "/token?user=ana&scope=User.Read&scope=User.Read", ""},
	} {
		status, body := ask(a, c.path)
		message, _ := body["message"].(string)
		switch refused := status == http.StatusBadRequest && code(body) == client.CodeBadRequest; {
		case c.told == "" && status != http.StatusOK:
			t.Errorf("%s: %d, %v", c.name, status, body)
		case c.told != "" && (!refused || !strings.Contains(message, c.told)):
			t.Errorf("%s: %d, %v; want a refusal that tells of %s", c.name, status, body, c.told)
		}
	}
}

func TestAnErrorOfNewNamesTheUserAndTheNextStep(t *testing.T) {
	ana := newAccount(t, 3600, nil)
	for _, c := range []struct {
		name  string
		users map[string]Sources
		allow map[string][]string
		want  []string
	}{
		{"no user is given", nil, nil, []string{"New", "give it the Sources of at least one user"}},
		{"a user has no Sources", map[string]Sources{"ana": nil}, nil, []string{`"ana"`, "give it the user's account"}},
		{"two names differ in letter case", map[string]Sources{"ana": ana, "Ana": ana}, nil, []string{`"Ana" and "ana"`, "rename one"}},
		{"Allow names a user who isn't given", map[string]Sources{"ana": ana}, map[string][]string{"bo": {"*"}}, []string{"Options.Allow", `"bo"`, "give New the Sources of that user"}},
	} {
		_, err := New(c.users, Options{Allow: c.allow})
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", c.name, err, want)
			}
		}
	}
}

func TestAnErrorHasACodeThatSaysWhatToDo(t *testing.T) {
	unreachable := &core.Error{Op: "load", Backend: "redis", Key: "k", Err: errors.New("connection refused")}
	one := func(err error) func(testing.TB) map[string]Sources {
		return func(t testing.TB) map[string]Sources { return map[string]Sources{"ana": newAccount(t, -1, err)} }
	}
	for _, c := range []struct {
		name   string
		users  func(testing.TB) map[string]Sources
		path   string
		status int
		code   string
	}{
		{"the user must sign in", one(fmt.Errorf("invalid_grant: %w", core.ErrReauthRequired)), "/token", http.StatusForbidden, client.CodeSignIn},
		{"the provider is out of reach", one(&net.OpError{Op: "dial", Err: errors.New("no route")}), "/token", http.StatusBadGateway, client.CodeProvider},
		{"the store is out of reach", one(unreachable), "/token", http.StatusServiceUnavailable, client.CodeStore},
		{"the provider takes too long", one(context.DeadlineExceeded), "/token", http.StatusBadGateway, client.CodeProvider},
		{"two users, and none is named", func(t testing.TB) map[string]Sources {
			return map[string]Sources{"ana": newAccount(t, 3600, nil), "bo": newAccount(t, 3600, nil)}
		}, "/token", http.StatusBadRequest, client.CodeAmbiguous},
		{"a user who isn't there", one(nil), "/token?user=eve", http.StatusNotFound, client.CodeUnknownUser},
		{"a scope that isn't allowed", one(nil), "/token?scope=Mail.Read", http.StatusForbidden, client.CodeForbidden},
		{"another resource", one(nil), "/identity?api-version=2019-08-01&resource=https://vault.azure.net", http.StatusForbidden, client.CodeForbidden},
		{"a validity that is no duration", one(nil), "/token?min_validity=soon", http.StatusBadRequest, client.CodeBadRequest},
		{"claims that are no JSON", one(nil), "/token?claims=x", http.StatusBadRequest, client.CodeBadRequest},
		{"another path", one(nil), "/metadata", http.StatusNotFound, client.CodeBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := New(c.users(t), Options{Scopes: []string{"User.Read"}})
			if err != nil {
				t.Fatal(err)
			}
			if status, body := ask(a, c.path); status != c.status || code(body) != c.code {
				t.Errorf("%d, %v; want %d, %s", status, body, c.status, c.code)
			}
		})
	}
}

func TestACallerIsToldWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newAccount(t, -1, nil)
		slow.refresh = func(ctx context.Context, _ *tokencache.Cache, _ core.Refresh) error {
			<-ctx.Done()
			return ctx.Err()
		}
		a, err := New(map[string]Sources{"ana": slow}, Options{Scopes: []string{"User.Read"}, Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if status, body := ask(a, "/token"); status != http.StatusGatewayTimeout || code(body) != client.CodeTimeout || time.Since(began) != 2*time.Second {
			t.Errorf("%d, %v after %v", status, body, time.Since(began))
		}
		if err := slow.store.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyAllowedScopesAreHandedOut(t *testing.T) {
	a := newAgent(t, Options{Scopes: []string{"User.Read"}, Allow: map[string][]string{"ANA": {"https://vault.azure.net/secrets.read"}}}, "ana", "bo")
	for _, c := range []struct {
		user, scope string
		allowed     bool
	}{
		{"ana", "User.Read", true},
		{"ana", "user.read", true},
		{"ana", "https://graph.microsoft.com/User.Read", true},
		{"ana", "https://graph.microsoft.com/.default", true},
		{"ana", "https://vault.azure.net/.default", true},
		{"ana", "https://vault.azure.net/secrets.read User.Read", true},
		{"bo", "https://vault.azure.net/.default", false},
		{"ana", "User.Read Mail.Read", false},
		{"ana", "https://graph.microsoft.com.evil.example/.default", false},
		{"ana", "https://management.azure.com/.default", false},
		{"ana", "*", false},
	} {
		u, _ := a.named(c.user)
		if got := u.allows(tokencache.SplitScopes(c.scope)); got != c.allowed {
			t.Errorf("%s, %q: %t, want %t", c.user, c.scope, got, c.allowed)
		}
	}
	if _, err := New(map[string]Sources{"ana": newAccount(t, 1, nil)}, Options{Allow: map[string][]string{"bo": {"*"}}}); err == nil {
		t.Error("scopes of a user who isn't there were taken")
	}
}

// A web page reaches a loopback port with the browser's own headers, under a name that it
// had resolved to this machine, or both; it can't know the secret.
func TestABrowserAndACallerWithoutTheSecretGetNothing(t *testing.T) {
	a := newAgent(t, Options{}, "ana")
	url := serve(t, a, must(ListenLoopback()))
	port := url[strings.LastIndexByte(url, ':')+1:]
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"a program with the secret", func(*http.Request) {}, http.StatusOK},
		{"under the name localhost", func(r *http.Request) { r.Host = "localhost:" + port }, http.StatusOK},
		{"no secret", func(r *http.Request) { r.Header.Del(identityHeader) }, http.StatusUnauthorized},
		{"a part of the secret", func(r *http.Request) { r.Header.Set(identityHeader, a.secret[:42]) }, http.StatusUnauthorized},
		{"another agent's secret", func(r *http.Request) { r.Header.Set(identityHeader, newSecret()) }, http.StatusUnauthorized},
		{"a page's origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		{"an origin that is none", func(r *http.Request) { r.Header.Set("Origin", "null") }, http.StatusForbidden},
		{"a page's navigation", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		{"a name resolved to this machine", func(r *http.Request) { r.Host = "evil.example:" + port }, http.StatusForbidden},
		{"a host without the port", func(r *http.Request) { r.Host = "127.0.0.1" }, http.StatusForbidden},
		{"a form", func(r *http.Request) { r.Method = http.MethodPost }, http.StatusMethodNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, url+"/token", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(identityHeader, a.secret)
			c.change(r)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.status || strings.Contains(string(body), "access-0") != (c.status == http.StatusOK) || strings.Contains(string(body), a.secret) || resp.Close == (c.status == http.StatusOK) {
				t.Errorf("%s: %s", resp.Status, body)
			}
		})
	}
}

func TestAListenerThatOtherMachinesReachIsRefused(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := newAgent(t, Options{}, "ana").Serve(t.Context(), l); err == nil {
		t.Error("it was served")
	}
}

func TestTheSocketIsItsUsersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "graphtoken")
	path := filepath.Join(dir, "agent.sock")
	l := must(ListenUnix(path))
	defer l.Close()
	for name, mode := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode().Perm(), err, mode)
		}
	}
	if _, err := ListenUnix(path); err == nil {
		t.Error("a second agent listens at the same path")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	again := must(ListenUnix(path)) // a killed agent has left its socket
	again.Close()
	if err := os.WriteFile(path, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path); err == nil {
		t.Error("a file was replaced by the socket")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(filepath.Join(dir, "other.sock")); err == nil {
		t.Error("others can open the directory")
	}
}

func TestASocketsPathThatIsTooLongIsAnErrorThatSaysSo(t *testing.T) {
	_, err := ListenUnix(filepath.Join(t.TempDir(), "run", strings.Repeat("x", MaxSocketPath)))
	if err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("%v", err)
	}
}

func TestARequestThatCostsARefreshIsBoundedPerCaller(t *testing.T) {
	a := newAgent(t, Options{Refreshes: 2}, "ana")
	var clock atomic.Int64
	a.now = func() time.Time { return time.Unix(1_000_000+clock.Load(), 0) }
	for i := range 5 {
		status, body := ask(a, "/token?min_validity=5m")
		if refused := status == http.StatusTooManyRequests; refused != (i >= 2) {
			t.Errorf("request %d: %d, %v", i, status, body)
		}
	}
	for range 100 {
		if status, _ := ask(a, "/token"); status != http.StatusOK {
			t.Fatal("a kept token was refused")
		}
	}
	clock.Store(61)
	if status, body := ask(a, "/token?min_validity=5m"); status != http.StatusOK {
		t.Errorf("a minute later: %d, %v", status, body)
	}
}

func TestNobodyIsToldARefreshToken(t *testing.T) {
	a := newAgent(t, Options{}, "ana")
	var seen strings.Builder
	for _, path := range []string{"/token", "/identity?api-version=2019-08-01&resource=https://graph.microsoft.com", "/token?scope=x", "/healthz", "/"} {
		_, body := ask(a, path)
		fmt.Fprintf(&seen, "%v", body)
	}
	fmt.Fprintf(&seen, "%v %+v", client.Token{AccessToken: "access-0"}, client.Token{AccessToken: "access-0"})
	if text := seen.String(); strings.Contains(text, refreshToken) {
		t.Errorf("a refresh token was told: %s", text)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", client.Token{AccessToken: "secret"}, &client.Token{AccessToken: "secret"}, client.Token{AccessToken: "secret"}, client.Token{AccessToken: "secret"}); strings.Contains(text, "secret") {
		t.Errorf("a token printed itself: %s", text)
	}
}

// serve serves until the test ends, and returns the agent's URL; the client of a Unix
// socket is made by its path.
func serve(t testing.TB, a *Agent, l net.Listener) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func socket(t testing.TB, a *Agent) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "agent.sock")
	serve(t, a, must(ListenUnix(path)))
	return path
}

func TestTheClientGetsWhatTheAgentHas(t *testing.T) {
	c := client.New(socket(t, newAgent(t, Options{Allow: map[string][]string{"bo": {"Mail.Read"}}}, "ana", "bo")))
	got, err := c.Token(t.Context(), client.Request{User: "ana", Scopes: []string{"User.Read"}, MinValidity: time.Minute, Claims: `{"access_token":{}}`})
	if err != nil || got.AccessToken == "" || got.Type != "Bearer" || got.User != "ana" || !slices.Equal(got.Scopes, []string{"User.Read"}) || time.Until(got.ExpiresOn) < 59*time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	var told *client.Error
	if _, err := c.Token(t.Context(), client.Request{}); !errors.As(err, &told) || told.Code != client.CodeAmbiguous {
		t.Errorf("no user was named: %v", err)
	}
	if _, err := client.New(filepath.Join(t.TempDir(), "nobody.sock")).Token(t.Context(), client.Request{}); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is no agent: %v", err)
	}
	t.Setenv(client.SocketVariable, "")
	if _, err := client.FromEnvironment(); !errors.Is(err, client.ErrNoAgent) {
		t.Errorf("the environment names none: %v", err)
	}
}

func TestManyCallersAtOnceCostOneRefresh(t *testing.T) {
	users := map[string]Sources{"ana": newAccount(t, -1, nil)}
	a, err := New(users, Options{Scopes: []string{"User.Read"}})
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(socket(t, a))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := c.Token(context.Background(), client.Request{}); err != nil || got.AccessToken != "access-1" {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	if n := users["ana"].(*account).asked.Load(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

// Ten thousand connections that say nothing, or end in the middle, or send a header without
// an end, keep nobody from a token.
func TestHostileConnectionsKeepNobodyFromAToken(t *testing.T) {
	a := newAgent(t, Options{}, "ana")
	address := strings.TrimPrefix(serve(t, a, must(ListenLoopback())), "http://")
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	dial := func() net.Conn {
		c, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i := range 10_000 {
		c := dial()
		switch i % 3 {
		case 0:
			fmt.Fprint(c, "GET /token HTTP/1.1\r\nHost: 127.0.0.1\r\n")
		case 1:
			fmt.Fprintf(c, "GET /%s", strings.Repeat("x", 1<<15))
		}
		if len(open) < 200 {
			open = append(open, c) // and says no more
			continue
		}
		c.Close()
	}
	c := dial()
	defer c.Close()
	fmt.Fprintf(c, "GET /token HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n\r\n", address, identityHeader, a.secret)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
}

// A refresh token was spent for the answer, which the next caller gets.
func TestACallerWhoDiesDuringARefreshWastesNone(t *testing.T) {
	ana := newAccount(t, -1, nil)
	asked, answer := make(chan struct{}), make(chan struct{})
	refresh := ana.refresh
	ana.refresh = func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		close(asked)
		<-answer
		return refresh(ctx, c, r)
	}
	path := socket(t, must(New(map[string]Sources{"ana": ana}, Options{Scopes: []string{"User.Read"}})))
	dying := must(net.Dial("unix", path))
	fmt.Fprint(dying, "GET /token HTTP/1.1\r\nHost: agent\r\n\r\n")
	<-asked
	dying.Close()
	close(answer)
	got, err := client.New(path).Token(t.Context(), client.Request{})
	if n := ana.asked.Load(); err != nil || got.AccessToken != "access-1" || n != 1 {
		t.Errorf("%s after %d refreshes, %v", got.AccessToken, n, err)
	}
}

// pipes is a loopback listener of connections that a test holds the other ends of.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (p *pipes) Close() error   { close(p.closed); return nil }

// failing is a listener that fails when it is told to.
type failing struct {
	*pipes
	failed chan error
}

func (f *failing) Accept() (net.Conn, error) {
	select {
	case c := <-f.connections:
		return c, nil
	case err := <-f.failed:
		return nil, err
	}
}

// The bubble of synctest fails if Serve leaves a goroutine behind: ctx never ends.
func TestServeEndsWithItsListenerAndAnswersTheRequestUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ana := newAccount(t, -1, nil)
		answer, refresh := make(chan struct{}), ana.refresh
		ana.refresh = func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			<-answer
			return refresh(ctx, c, r)
		}
		a := must(New(map[string]Sources{"ana": ana}, Options{Scopes: []string{"User.Read"}}))
		l := &failing{&pipes{make(chan net.Conn), make(chan struct{})}, make(chan error)}
		ended := make(chan error, 1)
		go func() { ended <- a.Serve(context.Background(), l) }()
		ours, theirs := net.Pipe()
		defer ours.Close()
		l.connections <- theirs
		fmt.Fprintf(ours, "GET /token HTTP/1.1\r\nHost: 127.0.0.1:1\r\n%s: %s\r\n\r\n", identityHeader, a.secret)
		synctest.Wait() // for the request to wait for the provider

		broken := errors.New("the network is down")
		l.failed <- broken
		synctest.Wait()
		close(answer)
		if resp, err := http.ReadResponse(bufio.NewReader(ours), nil); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("the request under way: %v, %v", resp, err)
		}
		if err := <-ended; !errors.Is(err, broken) {
			t.Errorf("Serve returned %v", err)
		}
		if err := ana.store.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestACallerWhoSendsAByteASecondIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, Options{}, "ana")
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Serve(ctx, l) }()
		ours, theirs := net.Pipe()
		l.connections <- theirs
		go func() { _, _ = io.Copy(io.Discard, ours) }() // there may be an answer
		began := time.Now()
		for _, letter := range "GET /token HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" {
			if _, err := ours.Write([]byte(string(letter))); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it was heard for %v", took)
		}
		ours.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAHugeHeaderIsRefused(t *testing.T) {
	a := newAgent(t, Options{}, "ana")
	r, err := http.NewRequest(http.MethodGet, serve(t, a, must(ListenLoopback()))+"/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(identityHeader, a.secret)
	r.Header.Set("X-Filler", strings.Repeat("x", 1<<20))
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s", resp.Status)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	a := newAgent(b, Options{}, "ana")
	path := socket(b, a)
	bare := filepath.Join(b.TempDir(), "bare.sock")
	l, err := net.Listen("unix", bare)
	if err != nil {
		b.Fatal(err)
	}
	_, body := ask(a, "/token")
	answer := must(json.Marshal(body))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})}
	go server.Serve(l)
	b.Cleanup(func() { server.Close() })
	for _, of := range []struct{ name, path string }{{"agent", path}, {"a bare handler", bare}} {
		b.Run(of.name+"/one caller", func(b *testing.B) {
			c := client.New(of.path)
			for b.Loop() {
				if _, err := c.Token(context.Background(), client.Request{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(of.name+"/many callers", func(b *testing.B) {
			c := raw(of.path)
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				conn, err := c()
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				in := bufio.NewReader(conn)
				for pb.Next() {
					if _, err := io.WriteString(conn, "GET /token HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
						b.Error(err)
						return
					}
					resp, err := http.ReadResponse(in, nil)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}

func raw(path string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("unix", path) }
}

// BenchmarkMemory tells what the agent takes for each of many users who asked once.
func BenchmarkMemory(b *testing.B) {
	const users = 1000
	for b.Loop() {
		backend := must(memory.New(memory.Options{}))
		store := core.NewStore(backend)
		s := make(map[string]Sources)
		for i := range users {
			u := &keyed{store, fmt.Sprint("user-", i)}
			r := response(strings.Repeat("x", 1500), 3600)
			if _, err := store.Put(b.Context(), u.key, r); err != nil {
				b.Fatal(err)
			}
			s[u.key] = u
		}
		a := must(New(s, Options{Scopes: []string{"User.Read"}}))
		for name := range s {
			if status, body := ask(a, "/token?user="+url.QueryEscape(name)); status != http.StatusOK {
				b.Fatal(body)
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MB")
		runtime.KeepAlive(a)
	}
}

type keyed struct {
	store *core.Store
	key   string
}

func (k *keyed) TokenSource(scopes ...string) *core.TokenSource {
	return k.store.TokenSource(k.key, tokencache.Query{HomeAccountID: "ana.contoso", ClientID: "client", Scopes: scopes}, nil)
}

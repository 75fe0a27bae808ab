// Package clients runs programs of other people under "graphtoken exec": in Go, Python,
// Node and Java, by Azure's SDKs, the MSALs, and the authentication provider of
// Microsoft's Graph SDK. None of them knows of graphtoken.
package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// programVariable makes this test binary the program in Go.
const programVariable = "GRAPHTOKEN_TEST_PROGRAM"

// graphtoken is the command as a user has it.
var graphtoken string

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		goProgram()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "graphtoken-clients-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		graphtoken = filepath.Join(dir, "graphtoken")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", graphtoken, ".")
		build.Dir = filepath.Join("..", "..", "cmd", "graphtoken")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// languages have a program each.
var languages = []struct {
	name    string
	program func(t *testing.T, dir string) (command, variables []string) // dir is for files that it needs
}{
	{"Go", func(t *testing.T, _ string) (command, variables []string) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		return []string{self}, []string{programVariable + "=1"}
	}},
	{"Python", func(t *testing.T, _ string) (command, variables []string) {
		return []string{peer.Python(t), filepath.Join("programs", "clients.py")}, []string{"PYTHONDONTWRITEBYTECODE=1"}
	}},
	{"Node", func(t *testing.T, _ string) (command, variables []string) {
		return []string{"node", filepath.Join("programs", "clients.js")}, []string{"NODE_PATH=" + peer.Node(t)}
	}},
	{"Java", func(t *testing.T, dir string) (command, variables []string) {
		jars := peer.Java(t)
		if out, err := exec.Command("javac", "-d", dir, "-cp", jars, filepath.Join("programs", "Clients.java")).CombinedOutput(); err != nil {
			t.Fatalf("javac: %v\n%s", err, out)
		}
		// The flags make a short-lived Java start sooner.
		return []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", dir + string(os.PathListSeparator) + jars, "Clients"}, nil
	}},
}

// Each token is good for lifetime, and from its half on graphtoken may replace it.
const lifetime = 8 * time.Second

// each is how many clients of a kind there are in a program: more than 50 in all.
const each = 5

// place is a store where Ana has signed in, and her provider, whose refresh tokens are
// good once.
type place struct {
	idp   *entra.Server
	graph string
	dir   string
	env   []string

	mu        sync.Mutex
	refreshes []time.Time // that succeeded
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{dir: t.TempDir()}
	p.idp = entra.Start(t, entra.Options{Strict: true, Lifetime: lifetime, OnGrant: func(e entra.Event) {
		if e.Grant == entra.Refresh && e.Outcome == "ok" {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.refreshes = append(p.refreshes, e.Time)
		}
	}})
	graph := httptest.NewServer(p.idp.Graph())
	t.Cleanup(graph.Close)
	p.graph = graph.URL + "/v1.0/me"
	ca := filepath.Join(p.dir, "ca.pem")
	if err := p.idp.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	p.env = []string{
		"HOME=" + p.dir, "PATH=" + os.Getenv("PATH"), "NO_PROXY=*",
		"GRAPHTOKEN_STORE=file://" + p.record(), "GRAPHTOKEN_AUTHORITY=" + p.idp.Authority("common"), "GRAPHTOKEN_CA=" + ca,
		"GRAPH=" + p.graph, "EACH=" + strconv.Itoa(each),
		"AZURE_CLIENT_ID=" + entra.PublicClient, // which those have who registered an application
	}
	p.signIn(t)
	return p
}

func (p *place) record() string { return filepath.Join(p.dir, "store", "tokens.json") }

// signIn is "graphtoken login" by a user who copies the addresses between two windows.
func (p *place) signIn(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), graphtoken, "login", "--client-id", entra.PublicClient, "--scope", "User.Read")
	cmd.Env = p.env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for lines := bufio.NewScanner(io.TeeReader(stderr, &said)); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "https://") {
			continue
		}
		redirect, err := p.idp.SignInAs(entra.Ana, lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(stdin, redirect)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("login: %v\n%s", err, &said)
	}
}

// refreshToken is the one in the store now.
func (p *place) refreshToken(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(p.record())
	if err != nil {
		t.Fatal(err)
	}
	c, err := tokencache.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	token, found := c.RefreshToken(tokencache.Query{Username: entra.Ana})
	if !found {
		t.Fatal("the record has no refresh token")
	}
	return token.Secret.Reveal()
}

// program is a program under "graphtoken exec".
type program struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	shown  *bytes.Buffer // all that was read of stdout
	stderr *bytes.Buffer // to be read when the program has ended
	pid    int           // of the program itself, and not of graphtoken
}

func (p *place) start(t *testing.T, command, variables []string) *program {
	t.Helper()
	r := &program{cmd: exec.Command(graphtoken, append([]string{"exec", "--verbose", "--"}, command...)...), shown: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	r.cmd.Env = append(p.env[:len(p.env):len(p.env)], variables...)
	r.cmd.Stderr = r.stderr
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdin, r.stdout = stdin, bufio.NewReader(io.TeeReader(stdout, r.shown))
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := r.stdout.ReadString('\n')
	if r.pid, _ = strconv.Atoi(strings.TrimSpace(line)); err != nil || r.pid == 0 {
		stdin.Close()
		t.Fatalf("the program doesn't say its process id: %q, %v\n%s", line, err, r.stderr)
	}
	return r
}

// end tells the program to end, and returns its report.
func (r *program) end(t *testing.T) report {
	t.Helper()
	if err := r.stdin.Close(); err != nil {
		t.Error(err)
	}
	var told report
	text, err := io.ReadAll(r.stdout)
	if err == nil {
		err = json.Unmarshal(text, &told)
	}
	if ended := r.cmd.Wait(); err != nil || ended != nil {
		t.Fatalf("%v, %v: %s\n%s", err, ended, text, r.stderr)
	}
	return told
}

// One user's store, and five clients of each of twelve kinds in four programs at once: a
// token is replaced once for all of them, no call fails, and no program has a refresh
// token.
func TestClientsOfFourLanguagesShareOneRefreshPerExpiry(t *testing.T) {
	p := newPlace(t)
	programs := make(map[string]*program)
	for _, language := range languages {
		t.Run(language.name+" starts", func(t *testing.T) {
			command, variables := language.program(t, p.dir)
			programs[language.name] = p.start(t, command, variables)
		})
	}
	started := time.Now()
	refreshTokens := p.waitForTwoExpiries(t)
	for name, r := range programs {
		t.Run(name, func(t *testing.T) {
			r.wantNone(t, refreshTokens)
			r.wantCalls(t, refreshTokens)
		})
	}
	grants := p.idp.Grants()
	if c := grants.ByType[entra.Refresh]; c.Received != c.Succeeded || grants.ReuseDetected != 0 {
		t.Errorf("%d of %d refreshes failed, %d with spent refresh tokens", c.Received-c.Succeeded, c.Received, grants.ReuseDetected)
	}
	if c := p.idp.Graph().Calls(); c.Unauthorized != 0 || c.OK == 0 {
		t.Errorf("Graph refused %d calls of %d", c.Unauthorized, c.OK+c.Unauthorized)
	}
	for i, at := range p.refreshes {
		// The times in a record are whole seconds. While the programs start, exec itself asks for the
		// scopes of the sign-in, whose token may be older than the one for all of Graph's.
		if i > 0 && p.refreshes[i-1].After(started) && at.Sub(p.refreshes[i-1]) < lifetime/2-time.Second {
			t.Errorf("refresh %d came %v after the one before: %v", i, at.Sub(p.refreshes[i-1]), grants.Log)
		}
	}
}

// waitForTwoExpiries returns the refresh tokens that there were meanwhile. The programs
// are still starting when it begins, and a client that keeps each token to its end sees
// every second one.
func (p *place) waitForTwoExpiries(t *testing.T) (refreshTokens []string) {
	t.Helper()
	begun := p.idp.Grants().RefreshesSucceeded
	for n := range 6 {
		if err := p.idp.Wait(t.Context(), func(g entra.Grants) bool { return g.RefreshesSucceeded >= begun+n }); err != nil {
			t.Fatal(err)
		}
		refreshTokens = append(refreshTokens, p.refreshToken(t))
	}
	return refreshTokens
}

// wantNone looks for the refresh tokens in all that a running program has. The access
// token that graphtoken gave the program is there, which shows that the search finds one.
func (r *program) wantNone(t *testing.T, refreshTokens []string) {
	t.Helper()
	access := r.variable(t, "GRAPHTOKEN_ACCESS_TOKEN")
	for where, found := range r.holds(t, append(refreshTokens, access)...) {
		for _, secret := range refreshTokens {
			if found[secret] {
				t.Errorf("a refresh token is in the program's %s", where)
			}
		}
		if wanted := where == "environ" || where == "memory"; found[access] != wanted {
			t.Errorf("the access token is in the program's %s: %t", where, found[access])
		}
	}
}

// wantCalls ends a program, all of whose clients must have made calls with three tokens,
// without a failure.
func (r *program) wantCalls(t *testing.T, refreshTokens []string) {
	t.Helper()
	told := r.end(t)
	for _, failure := range told.Failures {
		t.Error(failure)
	}
	if len(told.Clients) < 2*each {
		t.Errorf("there were %d clients", len(told.Clients))
	}
	for name, c := range told.Clients {
		if c.Tokens < 3 {
			t.Errorf("%s made %d calls with %d tokens", name, c.Calls, c.Tokens)
		}
	}
	for _, secret := range refreshTokens {
		if strings.Contains(r.shown.String()+r.stderr.String(), secret) {
			t.Error("a refresh token is in the logs")
		}
	}
}

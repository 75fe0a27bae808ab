package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// binary is the command as a user has it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "graphtoken-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "graphtoken")
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

const (
	ana = entra.Ana
	bo  = "bo@contoso.com"
)

// world is an identity provider, a store, and a shell to run the command in.
type world struct {
	t   *testing.T
	ctx context.Context // ends what hangs
	idp *entra.Server
	dir string
	env []string

	mu      sync.Mutex
	shown   strings.Builder // all output that must hold no secret
	secrets map[string]bool // seen in the store so far
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{
		t: t, ctx: ctx, dir: t.TempDir(), secrets: map[string]bool{entra.ConfidentialSecret: true},
		idp: entra.Start(t, entra.Options{Strict: true, Users: []entra.User{{Username: ana}, {Username: bo}}}),
	}
	ca := filepath.Join(w.dir, "ca.pem")
	if err := w.idp.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + w.dir,
		"GRAPHTOKEN_STORE=file://" + w.file(),
		"GRAPHTOKEN_AUTHORITY=" + w.idp.Authority("common"),
		"GRAPHTOKEN_CA=" + ca,
		"AppData=" + filepath.Join(w.dir, ".config"), // on Windows
	}
	t.Cleanup(w.checkNothingSecretShows)
	return w
}

func (w *world) file() string { return filepath.Join(w.dir, "store", "tokens.json") }

// mkdir makes a directory below the world's, with this very mode.
func (w *world) mkdir(name string, mode os.FileMode) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil { // the umask doesn't take part
		w.t.Fatal(err)
	}
	return dir
}

// config is the command's directory in the user's configuration directory.
func (w *world) config() string {
	if runtime.GOOS == "darwin" {
		return filepath.Join(w.dir, "Library", "Application Support", "graphtoken")
	}
	return filepath.Join(w.dir, ".config", "graphtoken")
}

// set adds variables to the shell.
func (w *world) set(variables ...string) { w.env = append(w.env, variables...) }

// forgetEnvironment takes the provider and its certificates out of the shell.
func (w *world) forgetEnvironment() { w.set("GRAPHTOKEN_AUTHORITY=", "GRAPHTOKEN_CA=") }

// rememberEnvironment puts them back.
func (w *world) rememberEnvironment() {
	w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority("common"), "GRAPHTOKEN_CA="+filepath.Join(w.dir, "ca.pem"))
}

type result struct {
	out, err string
	code     int
}

// run runs the command to its end.
func (w *world) run(args ...string) result {
	w.t.Helper()
	r, err := w.try(args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) try(args ...string) (result, error) {
	var out, errs bytes.Buffer
	cmd := w.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	r := result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	w.note(args, r)
	return r, nil
}

// ok runs a command that must succeed, and returns its output.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.t.Fatalf("graphtoken %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// fails runs a command that must end with this code.
func (w *world) fails(code int, args ...string) result {
	w.t.Helper()
	r := w.run(args...)
	if r.code != code || r.err == "" {
		w.t.Errorf("graphtoken %s: exit code %d, want %d\n%s", strings.Join(args, " "), r.code, code, r.err)
	}
	return r
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.ctx, binary, args...)
	cmd.Env, cmd.Dir = w.env, w.dir
	return cmd
}

// login signs a user in, as one who copies addresses between two windows.
func (w *world) login(username string, args ...string) result {
	w.t.Helper()
	return w.loginBy(func(address string, stdin io.Writer) error {
		redirect, err := w.idp.SignInAs(username, address)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdin, redirect)
		return err
	}, args...)
}

// loginBy starts a login, and has user deal with the address it shows.
func (w *world) loginBy(user func(address string, stdin io.Writer) error, args ...string) result {
	w.t.Helper()
	args = append([]string{"login", "--client-id", entra.PublicClient, "--scope", "User.Read", "--scope", "Mail.Read"}, args...)
	cmd := w.command(args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	lines := bufio.NewScanner(io.TeeReader(stderr, &errs))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "https://") {
			if err := user(lines.Text(), stdin); err != nil {
				w.t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // its exit code says it
	r := result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	w.note(args, r)
	return r
}

// process is a command under way, whose standard error can be read as it comes.
type process struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout bytes.Buffer
	stderr *bufio.Reader
	shown  bytes.Buffer // all that was read of stderr
}

func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{Cmd: w.command(args...)}
	stdin, err := p.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stderr, err := p.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	p.stdin, p.stderr, p.Stdout = stdin, bufio.NewReader(io.TeeReader(stderr, &p.shown)), &p.stdout
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// line reads the standard error up to a line that begins or goes on with text.
func (p *process) line(t *testing.T, text string) string {
	t.Helper()
	for {
		line, err := p.stderr.ReadString('\n')
		if strings.Contains(line, text) {
			return strings.TrimSuffix(line, "\n")
		}
		if err != nil {
			t.Fatalf("no line has %q (%v):\n%s", text, err, p.shown.String())
		}
	}
}

// end waits for the process to end, and returns what it came to.
func (p *process) end(w *world) result {
	_, _ = io.Copy(io.Discard, p.stderr)
	_ = p.Wait() // its exit code says it
	r := result{p.stdout.String(), p.shown.String(), p.ProcessState.ExitCode()}
	w.note(p.Args[1:], r)
	return r
}

// store is the world's store, opened beside the command.
func (w *world) store(opts ...core.StoreOption) *core.Store {
	w.t.Helper()
	b, err := filesystem.New(filepath.Dir(w.file()), filesystem.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return core.NewStore(b, opts...)
}

// expire makes a user's stored access token an hour old.
func (w *world) expire(q tokencache.Query, opts ...core.StoreOption) {
	w.t.Helper()
	err := w.store(opts...).Update(w.ctx, filepath.Base(w.file()), func(c *tokencache.Cache) error {
		token, ok := c.AccessToken(q)
		if !ok {
			return errors.New("there is no access token")
		}
		return c.Put(tokencache.TokenResponse{
			AccessToken: token.Secret.Reveal(), Scope: strings.Join(token.Scopes, " "), TokenType: "Bearer", ExpiresIn: 3600,
			ClientID: token.ClientID, Environment: token.Environment, Tenant: token.Realm, HomeAccountID: token.HomeAccountID,
			Sent: time.Now().Add(-time.Hour),
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// note keeps what was shown, and what must not have been.
func (w *world) note(args []string, r result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown.WriteString(r.err)
	if len(args) > 0 && args[0] == "token" {
		w.secrets[strings.TrimSpace(r.out)] = true
	} else {
		w.shown.WriteString(r.out)
	}
	if data, err := os.ReadFile(w.file()); err == nil {
		w.noteSecrets(data)
	}
}

func (w *world) noteSecrets(record []byte) {
	c, err := tokencache.Parse(record)
	if err != nil {
		return // encrypted, or broken on purpose
	}
	for _, q := range append(queries(c), tokencache.Query{App: true}) {
		at, _ := c.AccessToken(q)
		rt, _ := c.RefreshToken(q)
		id, _ := c.IDToken(q)
		for _, s := range []tokencache.Secret{at.Secret, rt.Secret, id.Secret} {
			w.secrets[s.Reveal()] = true
		}
	}
}

func queries(c *tokencache.Cache) []tokencache.Query {
	var all []tokencache.Query
	for _, a := range c.Accounts() {
		all = append(all, tokencache.Query{HomeAccountID: a.HomeAccountID})
	}
	return all
}

func (w *world) checkNothingSecretShows() {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.secrets, "")
	shown := w.shown.String()
	for secret := range w.secrets {
		if strings.Contains(shown, secret) {
			w.t.Errorf("a secret shows: %.12s…\n%s", secret, shown)
		}
	}
}

func newKeyFile(t *testing.T, w *world) (path string, manager core.CryptographyManager) {
	t.Helper()
	path = filepath.Join(w.dir, "keys")
	w.ok("keygen", path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypto.ReadKeys(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	w.secrets[keys[0].Reveal()] = true
	ring, err := crypto.NewKeyring(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	return path, ring
}

// between is what stands between two texts.
func between(text, after, before string) string {
	_, text, _ = strings.Cut(text, after)
	text, _, _ = strings.Cut(text, before)
	return text
}

// shows expects that a text has each of want; what says whose text that is.
func shows(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("%s doesn't show %q:\n%s", what, part, text)
		}
	}
}

// Command demo shows what the project is for: a user signs in with the
// graphtoken program, eight processes share the encrypted record, and over
// three expiries exactly three refreshes reach the provider, although one
// process is killed in the middle of a refresh. Run it with "make demo".
//
// The provider is the project's imitation of Entra, on the loopback interface,
// with single-use refresh tokens: spending one twice would sign the user out.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const (
	processes = 8
	expiries  = 3
	lifetime  = 4 * time.Second // of the access tokens that are to expire
	patience  = time.Minute     // for any one step
)

func main() {
	var err error
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		err = workerMain()
	} else {
		err = demo()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// workerMain reads the task, and works until its input ends.
func workerMain() error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var t task
	if err := json.Unmarshal(line, &t); err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		_, _ = io.Copy(io.Discard, in)
	}()
	return work(t, stop)
}

func demo() (err error) {
	dir, err := os.MkdirTemp("", "graphtoken-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		} else {
			fmt.Fprintln(os.Stderr, "demo: what is left of it is in", dir)
		}
	}()

	idp, err := entra.New(entra.Options{Strict: true, Lifetime: lifetime, DefaultUser: entra.Ana})
	if err != nil {
		return err
	}
	defer idp.Close()
	t := task{
		Dir: filepath.Join(dir, "tokens"), Key: filesystem.DefaultKey, KeyFile: filepath.Join(dir, "keys"),
		ClientID: entra.PublicClient, Authority: idp.Authority("common"), User: entra.Ana,
		CA: filepath.Join(dir, "ca.pem"), Graph: idp.URL(),
	}
	if err := os.WriteFile(t.CA, idp.CertPEM(), 0o600); err != nil {
		return err
	}
	say("An imitation of Entra listens on %s. Its refresh tokens are good for one use.", idp.Addr())

	cli, err := buildCLI(dir, t)
	if err != nil {
		return err
	}
	if err := cli.signIn(idp); err != nil {
		return err
	}
	return share(idp, cli, t)
}

// share runs the processes through the expiries and counts.
func share(idp *entra.Server, cli *cli, t task) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // kills what still runs

	workers := make([]*worker, processes)
	for i := range workers {
		w, err := startWorker(ctx, i+1, t)
		if err != nil {
			return err
		}
		workers[i] = w
	}
	for _, w := range workers {
		if err := await(w.ready, "process %d to start", w.n); err != nil {
			return err
		}
	}
	say("%d processes share the file. Each calls Graph twenty times a second.", processes)

	for expiry := 1; expiry <= expiries; expiry++ {
		if expiry == 2 {
			if err := killOne(idp, workers); err != nil {
				return err
			}
		}
		if expiry == expiries {
			// All tokens from now on live longer than the demo.
			idp.SetLifetime(time.Hour)
		}
		if err := awaitRefreshes(idp, expiry); err != nil {
			return err
		}
		say("Expiry %d: one process refreshed, the others took its token.", expiry)
	}
	// The last token must have reached all workers, and a late second refresh must be
	// noticed.
	if err := usedForALifetime(idp); err != nil {
		return err
	}

	failed := 0
	for _, w := range workers {
		if err := w.finish(); err != nil {
			say("Process %d: %v", w.n, err)
			failed++
		}
		failed += len(w.failures())
		for _, f := range w.failures() {
			say("Process %d: a call failed: %s", w.n, f)
		}
	}
	refreshes := idp.Grants().RefreshesSucceeded
	say("%d calls of Graph were answered.", idp.Graph().Calls().OK)
	lost := cli.lostTokens(idp)
	say("(What no client of such a provider can prevent: a death after it spent the")
	say(" refresh token and before the new one is saved. The victim died before.)")

	fmt.Printf("demo: processes=%d expiries=%d refreshes=%d failed_calls=%d lost_tokens=%d\n",
		processes, expiries, refreshes, failed, lost)
	if refreshes != expiries || failed != 0 || lost != 0 {
		return errors.New("these are not the counts promised")
	}
	return nil
}

// killOne kills a process whose refresh the provider holds, unprocessed.
func killOne(idp *entra.Server, workers []*worker) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	gate := entra.NewGate()
	if err := heardOfAll(ctx, idp, workers); err != nil {
		return err
	}
	before := make(map[*worker]int, len(workers))
	for _, w := range workers {
		before[w] = w.refreshCount()
	}
	idp.Inject(entra.Refresh, entra.Fault{Hold: gate})
	if err := gate.Await(ctx, 1); err != nil {
		return fmt.Errorf("waiting for a refresh to hold: %w", err)
	}
	if err := heardOfAll(ctx, idp, workers); err != nil {
		return err
	}
	var victim *worker
	for _, w := range workers {
		if w.refreshCount() > before[w] {
			if victim != nil {
				return errors.New("two processes refresh at the same time")
			}
			victim = w
		}
	}
	if victim == nil {
		return errors.New("nobody owned up to the refresh")
	}
	if err := victim.kill(); err != nil {
		return err
	}
	// The gate stays shut until the provider has noticed the death. If it were opened at
	// once, the dead process's request would sometimes get through, and its refresh token
	// would be spent.
	if err := idp.Wait(ctx, func(g entra.Grants) bool { return g.ByType[entra.Refresh].Dropped == 1 }); err != nil {
		return fmt.Errorf("waiting for the provider to drop the request: %w", err)
	}
	say("Process %d is killed (SIGKILL) while its refresh waits at the provider, which", victim.n)
	say("notices, and drops the request. Another process takes over.")
	gate.Open()
	return nil
}

// heardOfAll returns once the workers' lines about their refreshes have been read, one
// for each refresh that reached the provider. A busy machine may be late.
func heardOfAll(ctx context.Context, idp *entra.Server, workers []*worker) error {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		heard := 0
		for _, w := range workers {
			heard += w.refreshCount()
		}
		if heard >= idp.Grants().ByType[entra.Refresh].Received {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the processes to own up to their refreshes: %w", ctx.Err())
		}
	}
}

func awaitRefreshes(idp *entra.Server, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	revoked := false
	if err := idp.Wait(ctx, func(g entra.Grants) bool {
		revoked = g.FamiliesRevoked > 0 // no later refresh succeeds
		return revoked || g.RefreshesSucceeded >= n
	}); err != nil {
		return fmt.Errorf("waiting for refresh %d: %w", n, err)
	}
	if revoked {
		return fmt.Errorf("waiting for refresh %d: a refresh token was spent twice, and the provider signed the user out", n)
	}
	return nil
}

// usedForALifetime returns after Graph was called for one more lifetime of the
// tokens before.
func usedForALifetime(idp *entra.Server) error {
	end := time.After(lifetime)
	calls := idp.Graph().Calls().OK
	<-end
	if idp.Graph().Calls().OK == calls {
		return errors.New("nobody calls Graph any more")
	}
	return nil
}

// cli is the graphtoken program.
type cli struct {
	path string
	task task
}

func buildCLI(dir string, t task) (*cli, error) {
	c := &cli{path: filepath.Join(dir, "graphtoken"), task: t}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", c.path, ".") // git refuses a clone that belongs to another user
	build.Dir = filepath.Join("..", "..", "cmd", "graphtoken")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building graphtoken: %w\n%s", err, out)
	}
	if _, err := c.run("", "keygen", t.KeyFile); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cli) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path, args...)
	// The settings of this machine's user for graphtoken don't count here.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GRAPHTOKEN_") })
	cmd.Env = append(env,
		"GRAPHTOKEN_STORE=file://"+filepath.ToSlash(filepath.Join(c.task.Dir, c.task.Key)),
		"GRAPHTOKEN_KEY_FILE="+c.task.KeyFile,
		"GRAPHTOKEN_CLIENT_ID="+c.task.ClientID,
		"GRAPHTOKEN_AUTHORITY="+c.task.Authority,
		"GRAPHTOKEN_CA="+c.task.CA,
	)
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

func (c *cli) run(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := c.command(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("graphtoken %s: %w\n%s", args[0], err, cmd.Stderr)
	}
	return string(out), nil
}

// signIn does what a user does at a console: visit the printed address, sign in, and
// paste the address at which the browser ends.
func (c *cli) signIn(idp *entra.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := c.command(ctx, "login", "--scope", "User.Read")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stderr := cmd.Stderr.(*bytes.Buffer)
	cmd.Stderr = nil
	printed, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(io.TeeReader(printed, stderr))
	for lines.Scan() {
		at := strings.Index(lines.Text(), idp.URL()+"/")
		if at < 0 {
			continue
		}
		redirect, err := idp.SignIn(strings.TrimSpace(lines.Text()[at:]))
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stdin, redirect); err != nil {
			return err
		}
		break
	}
	_, _ = io.Copy(stderr, printed)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("graphtoken login: %w\n%s", err, stderr)
	}
	record, err := os.ReadFile(filepath.Join(c.task.Dir, c.task.Key))
	if err != nil {
		return err
	}
	say("graphtoken login signed %s in. The record, %d bytes, begins with %.24s…", c.task.User, len(record), record)
	return nil
}

// lostTokens asks the provider: does it accept the refresh token in the file, and was
// none sent twice?
func (c *cli) lostTokens(idp *entra.Server) int {
	lost := idp.Grants().FamiliesRevoked
	if _, err := c.run("", "refresh"); err != nil {
		say("The stored refresh token is not good any more: %v", err)
		lost++
	} else {
		say("graphtoken refresh: the stored refresh token is the one the provider takes.")
	}
	return lost
}

// worker is a process that runs work.
type worker struct {
	n     int
	cmd   *exec.Cmd
	stdin io.Closer
	ready chan struct{}
	ended chan struct{} // closed when its output ended

	mu        sync.Mutex
	refreshes int
	failed    []string
	killed    bool
}

func startWorker(ctx context.Context, n int, t task) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{n: n, cmd: exec.CommandContext(ctx, self, "worker"), ready: make(chan struct{}), ended: make(chan struct{})}
	w.cmd.Stderr = os.Stderr
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	w.stdin = stdin
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go w.listen(stdout)
	return w, json.NewEncoder(stdin).Encode(t)
}

func (w *worker) listen(stdout io.Reader) {
	defer close(w.ended)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		w.mu.Lock()
		switch word {
		case saysReady:
			close(w.ready)
		case saysRefresh:
			w.refreshes++
		case saysFailed:
			w.failed = append(w.failed, rest)
		}
		w.mu.Unlock()
	}
}

func (w *worker) refreshCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refreshes
}

func (w *worker) failures() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

func (w *worker) kill() error {
	w.mu.Lock()
	w.killed = true
	w.mu.Unlock()
	if err := w.cmd.Process.Kill(); err != nil {
		return err
	}
	<-w.ended
	_ = w.cmd.Wait() // it was killed, so its error tells nothing
	return nil
}

// finish ends a worker that was not killed.
func (w *worker) finish() error {
	if w.killed {
		return nil
	}
	if err := w.stdin.Close(); err != nil {
		return err
	}
	if err := await(w.ended, "process %d to end", w.n); err != nil {
		return err
	}
	return w.cmd.Wait()
}

func await(done <-chan struct{}, what string, args ...any) error {
	select {
	case <-done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("gave up waiting for "+what, args...)
	}
}

func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

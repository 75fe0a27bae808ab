//go:build unix

package processes

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/workers"
)

// taskVariable is the variable that makes a process a worker.
const taskVariable = "GRAPHTOKEN_PROCESSES_TASK"

// task is what a worker must know.
type task struct {
	Where    json.RawMessage // the store, as Work's open understands it
	Key      string
	LeaseTTL time.Duration
	Provider provider
}

var query = tokencache.Query{ClientID: entra.PublicClient, Username: entra.Ana, Scopes: []string{"User.Read"}}

// Work makes this process a worker, if it was started as one, and then ends it.
// Otherwise it returns at once:
//
//	func TestMain(m *testing.M) {
//		processes.Work(func(addr string) (core.TokenBackend, error) { … })
//		os.Exit(m.Run())
//	}
//
// Open reaches the store at what [Store].Where said; it went through JSON.
func Work[W any](open func(where W) (core.TokenBackend, error)) {
	workers.Work(taskVariable, func(given string) error { return work(given, open, os.Stdin, os.Stdout) })
}

// work does what it is told, line by line, and answers each line:
//
//	sign in    keeps a first token for everybody
//	at 2h0m0s  sets the clock so far forward, and asks for the token
//	until 4h   the same, again and again until the store can be reached
//	flush      saves what is unsaved, as soon as it can
//
// In between it says "asking" whenever it is about to ask the provider.
func work[W any](given string, open func(W) (core.TokenBackend, error), in io.Reader, out io.Writer) error {
	var t task
	if err := json.Unmarshal([]byte(given), &t); err != nil {
		return err
	}
	backend, err := workers.Open(t.Where, open)
	if err != nil {
		return err
	}
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	store := core.NewStore(backend, core.WithClock(now), core.WithLeaseTTL(t.LeaseTTL))
	source := store.TokenSource(t.Key, query, func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		fmt.Fprintln(out, "asking")
		return t.Provider.refresh(ctx, c, r.Query, now())
	})
	ctx := context.Background()
	for orders := bufio.NewScanner(in); orders.Scan(); {
		switch order, at, _ := strings.Cut(orders.Text(), " "); order {
		case "sign":
			err := store.Update(ctx, t.Key, func(c *tokencache.Cache) error { return t.Provider.signIn(ctx, c, now()) })
			if err != nil {
				return err
			}
			fmt.Fprintln(out, "signed in")
		case "flush":
			// A client whose dials failed may not dial again for a while.
			if err := testkit.Poll(ctx, func() error { return store.Flush(ctx) }); err != nil {
				return err
			}
			fmt.Fprintln(out, "flushed")
		case "at", "until":
			d, err := time.ParseDuration(at)
			if err != nil {
				return err
			}
			ahead.Store(int64(d))
			answer := ask(ctx, source)
			if order == "until" {
				// The last answer is told, whatever it is.
				_ = testkit.Poll(ctx, func() error {
					if !strings.HasPrefix(answer, failed) || strings.Contains(answer, core.ErrReauthRequired.Error()) {
						return nil
					}
					answer = ask(ctx, source)
					return errors.New(answer)
				})
			}
			fmt.Fprintln(out, answer)
		default:
			return fmt.Errorf("unknown order %q", orders.Text())
		}
	}
	return nil
}

const failed = "failed: "

// ask has ten goroutines ask the source, and says what they were given.
func ask(ctx context.Context, source *core.TokenSource) string {
	var said [10]string
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			token, err := source.Token(ctx)
			if err != nil {
				said[i] = fmt.Sprint(failed, err)
				return
			}
			digest := sha256.Sum256([]byte(token.Secret.Reveal()))
			said[i] = "token " + hex.EncodeToString(digest[:4])
		})
	}
	all.Wait()
	for _, other := range said[1:] {
		if other != said[0] {
			return failed + "one goroutine has " + said[0] + ", another " + other
		}
	}
	return strings.ReplaceAll(said[0], "\n", " ")
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
)

type keepAliveCommand struct {
	Every    time.Duration `env:"-" placeholder:"DURATION" help:"Run as a daemon, so often, such as 24h; once by default."`
	Lifetime time.Duration `env:"-" default:"2160h" help:"How long the provider keeps a refresh token that isn't used. One that is older than half of that is renewed."`
	OnReauth string        `placeholder:"CMD" help:"A shell command to run for each user who must sign in again, with the user in GRAPHTOKEN_USER and the record in GRAPHTOKEN_RECORD."`
	JSON     bool          `name:"json" env:"-" help:"As JSON, one object for each run."`
}

// keptAlive is what keepalive --json prints.
type keptAlive struct {
	Renewed int          `json:"renewed"`
	Fresh   int          `json:"fresh"`
	SignIn  []keptRecord `json:"sign_in"`
	Failed  []keptRecord `json:"failed"`
}

type keptRecord struct {
	Record   string `json:"record"`
	Username string `json:"username,omitempty"`
	Error    string `json:"error"`
}

func (cmd *keepAliveCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	if cmd.Every < 0 || cmd.Lifetime <= 0 {
		return usageError("--every and --lifetime are durations, such as 24h")
	}
	if s.User != "" || s.ClientCredentials {
		return usageError("keepalive is for all users of a store, or of the record that #NAME names: leave --user and --client-credentials out")
	}
	o, err := s.openAll(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	if o.ReadOnly {
		return o.writable(ctx)
	}
	for {
		err := cmd.once(ctx, o, c)
		if cmd.Every == 0 || ctx.Err() != nil {
			return err
		}
		if err != nil {
			c.say("%v; the next run is in %s", err, cmd.Every.String())
		}
		select {
		case <-time.After(cmd.Every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once renews what is due, of each application whose users the store has.
func (cmd *keepAliveCommand) once(ctx context.Context, o *opened, c *console) error {
	clients := map[string][]string{o.ClientID: nil}
	if o.ClientID == "" {
		var err error
		if clients, err = o.clients(ctx); err != nil {
			return err
		}
	} else if o.Key != "" {
		clients[o.ClientID] = []string{o.Key}
	}
	all := keptAlive{SignIn: []keptRecord{}, Failed: []keptRecord{}}
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		cfg := o.config
		cfg.ClientID = client
		app, err := account.NewApp(o.store, cfg)
		if err != nil {
			return usageError(err.Error())
		}
		report, err := app.KeepAlive(ctx, account.KeepAliveOptions{Lifetime: cmd.Lifetime, Keys: clients[client]})
		all.Renewed, all.Fresh = all.Renewed+report.Renewed, all.Fresh+report.Fresh
		for _, u := range report.SignIn {
			all.SignIn = append(all.SignIn, keptOf(u))
			cmd.tell(ctx, u, c)
		}
		for _, u := range report.Failed {
			all.Failed = append(all.Failed, keptOf(u))
		}
		if err != nil {
			return err
		}
	}
	return cmd.report(all, c)
}

func (cmd *keepAliveCommand) report(all keptAlive, c *console) error {
	if cmd.JSON {
		if err := writeJSON(c.out, all); err != nil {
			return err
		}
	} else {
		for _, u := range slices.Concat(all.SignIn, all.Failed) {
			c.say("%s in %s: %s", u.Username, u.Record, u.Error)
		}
		c.say("%d refresh tokens renewed, %d young enough, %d users must sign in again, %d failures.", all.Renewed, all.Fresh, len(all.SignIn), len(all.Failed))
	}
	switch {
	case len(all.SignIn) > 0:
		return fmt.Errorf("%w: %d users", core.ErrReauthRequired, len(all.SignIn))
	case len(all.Failed) > 0:
		return errIncomplete
	}
	return nil
}

func keptOf(u account.KeepAliveUser) keptRecord {
	return keptRecord{redact(u.Key), cmp.Or(u.Account.Username, u.Account.HomeAccountID), printable(u.Err.Error())}
}

// clients are the applications whose users' refresh tokens the store has at the flags'
// provider, with the records that have them.
func (o *opened) clients(ctx context.Context) (map[string][]string, error) {
	all := make(map[string][]string)
	for key, err := range o.records(ctx) {
		if err != nil {
			return nil, err
		}
		cache, _, err := o.store.Load(ctx, key)
		if err != nil {
			if !errors.Is(err, core.ErrNotFound) && !ofOneRecord(err) {
				return nil, err
			}
			continue // doctor and list tell
		}
		users := fitting(cache, o.query())
		for _, h := range holders(cache) {
			if h.isOneOf(cache, users) && !slices.Contains(all[h.ClientID], key) {
				all[h.ClientID] = append(all[h.ClientID], key)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w of users in %s", core.ErrNotFound, o)
	}
	return all, nil
}

// hookTimeout limits a hook.
const hookTimeout = time.Minute

// tell runs the hook for a user who must sign in again. The user's name comes in a
// variable and not in the command, where a shell would read it as code.
func (cmd *keepAliveCommand) tell(ctx context.Context, u account.KeepAliveUser, c *console) {
	if cmd.OnReauth == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	hook := exec.CommandContext(ctx, "/bin/sh", "-c", cmd.OnReauth)
	if runtime.GOOS == "windows" {
		hook = exec.CommandContext(ctx, "cmd", "/C", cmd.OnReauth)
	}
	hook.Env = append(programEnvironment(os.Environ()), "GRAPHTOKEN_USER="+printable(cmp.Or(u.Account.Username, u.Account.HomeAccountID)), "GRAPHTOKEN_RECORD="+printable(u.Key))
	hook.Stdout, hook.Stderr = c.err, c.err
	if err := hook.Run(); err != nil {
		c.say("--on-reauth: %v", err)
	}
}

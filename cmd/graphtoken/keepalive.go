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
	all := keptAlive{SignIn: []keptRecord{}, Failed: []keptRecord{}}
	due, err := o.applications(ctx, &all)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(due)) {
		app, err := account.NewApp(o.store, due[name].config)
		if err != nil {
			return usageError(err.Error())
		}
		report, err := app.KeepAlive(ctx, account.KeepAliveOptions{Lifetime: cmd.Lifetime, Keys: due[name].keys})
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

// application is one whose users' refresh tokens the store has, at one provider and tenant.
type application struct {
	config account.Config
	keys   []string // the records that have them
}

// applications returns those that the flags mean. A user whose provider gets no tokens is
// among the failures.
func (o *opened) applications(ctx context.Context, all *keptAlive) (map[string]application, error) {
	found := make(map[string]application)
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
		for _, w := range signers(cache, o.named()) {
			if !fits(o.ClientID, w.client) {
				continue
			}
			cfg := o.config
			cfg.ClientID = w.client
			signedIn, _ := remembered(cache, w)
			if cfg, err = o.complete(cfg, signedIn, w.host); err != nil {
				all.Failed = append(all.Failed, keptRecord{redact(key), nameOf(w.user), printable(err.Error())})
				continue
			}
			name := w.client + " " + authorityOf(cfg)
			if a := found[name]; !slices.Contains(a.keys, key) {
				found[name] = application{cfg, append(a.keys, key)}
			}
		}
	}
	if len(found) == 0 && len(all.Failed) == 0 {
		return nil, fmt.Errorf("%w of users in %s", core.ErrNotFound, o)
	}
	return found, nil
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

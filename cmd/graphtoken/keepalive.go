package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
)

type keepAliveCommand struct {
	Every      time.Duration `env:"-" placeholder:"DURATION" help:"Run as a daemon, so often, such as 24h; once by default."`
	Lifetime   time.Duration `env:"-" default:"2160h" help:"How long the provider keeps a refresh token that isn't used. One that is older than half of that is renewed."`
	OnRefresh  string        `placeholder:"CMD" help:"A shell command to run for each user whose tokens were renewed, with GRAPHTOKEN_USER, GRAPHTOKEN_RECORD and GRAPHTOKEN_EXPIRES_ON (seconds since 1970) in its environment."`
	OnReauth   string        `placeholder:"CMD" help:"A shell command to run for each user who must sign in again, or soon has to, with GRAPHTOKEN_USER, GRAPHTOKEN_RECORD and GRAPHTOKEN_ENDS_ON (seconds since 1970; empty: now) in its environment."`
	EndsWithin time.Duration `placeholder:"DURATION" default:"336h" help:"A user whose refresh token can't be renewed and ends within this time has to sign in soon; 336h by default, two weeks."`
	RemindIn   time.Duration `placeholder:"DURATION" help:"A daemon runs --on-reauth again for the same user after this time; only once by default."`
	JSON       bool          `name:"json" env:"-" help:"As JSON, one object for each run."`
}

// keptAlive is what keepalive --json prints.
type keptAlive struct {
	Renewed int          `json:"renewed"`
	Fresh   int          `json:"fresh"`
	SignIn  []keptRecord `json:"sign_in"`
	Failed  []keptRecord `json:"failed"`
}

type keptRecord struct {
	Record   string     `json:"record"`
	Username string     `json:"username,omitempty"`
	Error    string     `json:"error"`
	EndsOn   *time.Time `json:"ends_on,omitempty"` // of the refresh token, if it still works
}

func (cmd *keepAliveCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	if cmd.Every < 0 || cmd.Lifetime <= 0 || cmd.EndsWithin < 0 || cmd.RemindIn < 0 {
		return usageError("--every, --lifetime, --ends-within and --remind-in are durations, such as 24h")
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
	hooks := newHooks(cmd, c)
	for {
		err := cmd.once(ctx, o, c, hooks)
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
func (cmd *keepAliveCommand) once(ctx context.Context, o *opened, c *console, hooks *hooks) error {
	hooks.begin()
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
		report, err := app.KeepAlive(ctx, account.KeepAliveOptions{
			Lifetime: cmd.Lifetime, Keys: due[name].keys, Tell: func(u account.KeepAliveUser) { hooks.tell(ctx, u) },
		})
		all.Renewed, all.Fresh = all.Renewed+report.Renewed, all.Fresh+report.Fresh
		for _, u := range report.SignIn {
			all.SignIn = append(all.SignIn, keptOf(u))
		}
		for _, u := range report.Failed {
			all.Failed = append(all.Failed, keptOf(u))
		}
		if err != nil {
			return err
		}
	}
	hooks.end()
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
			if u.EndsOn != nil {
				c.say("The refresh token of %s ends on %s if it can't be renewed before.", u.Username, u.EndsOn.Local().Format(time.DateOnly))
			}
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
	r := keptRecord{Record: redact(u.Key), Username: nameOf(u.Account), Error: explain(u.Err)}
	if !u.Ends.IsZero() {
		ends := u.Ends.UTC()
		r.EndsOn = &ends
	}
	return r
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
	var unread error
	for key, err := range o.records(ctx) {
		if err != nil {
			return nil, err
		}
		cache, _, err := o.store.Load(ctx, key)
		if err != nil {
			if !errors.Is(err, core.ErrNotFound) && !ofOneRecord(err) {
				return nil, err
			}
			if !errors.Is(err, core.ErrNotFound) {
				unread = err
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
				all.Failed = append(all.Failed, keptRecord{Record: redact(key), Username: nameOf(w.user), Error: explain(err)})
				continue
			}
			name := w.client + " " + authorityOf(cfg)
			if a := found[name]; !slices.Contains(a.keys, key) {
				found[name] = application{cfg, append(a.keys, key)}
			}
		}
	}
	if len(found) == 0 && len(all.Failed) == 0 {
		if unread != nil {
			return nil, unread
		}
		return nil, fmt.Errorf("%w of users", core.ErrNotFound)
	}
	return found, nil
}

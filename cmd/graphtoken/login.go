package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type loginCommand struct {
	Listen      bool   `env:"-" help:"Wait for the browser on this machine, instead of asking for the address it ends at."`
	Port        int    `env:"-" help:"With --listen: the port; any free one by default."`
	RedirectURL string `name:"redirect-url" placeholder:"URL" help:"Without --listen: the redirect URL that the application is registered with. By default Microsoft's page for native clients."`
	Prompt      string `env:"-" enum:"select_account,login,consent,none" default:"select_account" help:"What the sign-in page asks: ${enum}."`
}

func (l *loginCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	s.migrate = true
	o, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	switch {
	case l.Port != 0 && !l.Listen:
		return usageError("--port is for --listen")
	case l.Port < 0 || l.Port > 65535:
		return usageError("--port is a number from 1 to 65535")
	case l.RedirectURL != "" && l.Listen:
		return usageError("--redirect-url is for a login without --listen, which has an address of its own")
	}
	cache, err := o.readable(ctx)
	if err != nil {
		return err
	}
	cfg := o.config
	cfg.RedirectURL = l.RedirectURL
	if cfg.ClientID == "" {
		cfg.ClientID = onlyClient(cache, s.query().Environment)
	}
	a, err := o.newAccount(cfg)
	if err != nil {
		return err
	}
	// If nothing can be saved, the user must not sign in: the code would be lost.
	if err := o.writable(ctx); err != nil {
		return err
	}
	if cfg.App {
		// An interrupt doesn't lose the provider's answer, as in a user's sign-in.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), core.DefaultRefreshTimeout)
		defer cancel()
		err := a.Authenticate(ctx, nil, account.AuthOptions{})
		if err == nil || errors.Is(err, core.ErrRefreshedNotSaved) {
			c.say("The application %s is signed in.", cfg.ClientID)
		}
		return err
	}
	err = l.signIn(ctx, a, c)
	if err == nil || errors.Is(err, core.ErrRefreshedNotSaved) { // close tries again to save
		c.say("Signed in as %s.", cmp.Or(a.User().Username, a.User().HomeAccountID))
	}
	return err
}

func (l *loginCommand) signIn(ctx context.Context, a *account.Account, c *console) error {
	options := account.AuthOptions{Prompt: l.Prompt}
	if !l.Listen {
		return a.Authenticate(ctx, account.Console(c.in, c.err), options)
	}
	if l.Port != 0 {
		options.RedirectURL = "http://localhost:" + strconv.Itoa(l.Port)
	}
	return a.Authenticate(ctx, account.Loopback(func(address string) error {
		return c.showLink("Open this address in a browser on this machine:\n\n%s\n", address)
	}), options)
}

// readable finds out, before anybody signs in, whether the record is broken or encrypted
// with another key. An absent one is an empty cache.
func (o *opened) readable(ctx context.Context) (*tokencache.Cache, error) {
	c, _, err := o.store.Load(ctx, o.Key)
	if errors.Is(err, core.ErrNotFound) {
		return tokencache.New(), nil
	}
	return c, err
}

// onlyClient returns the application whose users' tokens of one provider a record has, if
// there is only one. For another provider, the ID means nothing.
func onlyClient(c *tokencache.Cache, environment string) string {
	users := fitting(c, tokencache.Query{Environment: environment})
	its := slices.DeleteFunc(holders(c), func(h holder) bool { return !h.isOneOf(c, users) })
	if clients := distinct(its, clientOf); len(clients) == 1 {
		return clients[0]
	}
	return ""
}

// writable finds out, before the provider is asked, whether anything can be saved.
func (o *opened) writable(ctx context.Context) error {
	if o.ReadOnly {
		return &core.Error{Op: "save", Backend: "env", Key: o.Key, Err: fmt.Errorf("%w: a variable ends with this command; env://%s?file=.env outlasts it", core.ErrReadOnly, o.Key)}
	}
	if err := o.tryToSave(ctx); err != nil {
		return err
	}
	return o.own() // again: if there was no directory, another user may have made it meanwhile
}

// tryToSave does everything that a save does, except storing the record.
func (o *opened) tryToSave(ctx context.Context) error {
	if p, ok := core.As[core.Prober](o.Backend); ok {
		return p.Probe(ctx, o.Key)
	}
	if p, ok := core.As[core.Pinger](o.Backend); ok {
		return p.Ping(ctx)
	}
	return nil
}

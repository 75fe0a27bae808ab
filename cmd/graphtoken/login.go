package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cli/browser"
	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type loginCommand struct {
	NoBrowser  bool `env:"-" xor:"way" help:"Show the address of the sign-in page, and start no browser. The browser must run on this machine."`
	Listen     bool `env:"-" xor:"way" help:"The same as --no-browser."`
	Console    bool `env:"-" xor:"way" help:"Ask for the address at which a browser on any machine ends. This is the default where the input isn't a terminal."`
	DeviceCode bool `env:"-" xor:"way" help:"Show a code to enter on any device."`

	Port        int           `env:"-" help:"The port at which to wait for the browser; any free one by default."`
	RedirectURL string        `name:"redirect-url" placeholder:"URL" help:"With --console: the redirect URL that the application is registered with. By default Microsoft's page for native clients."`
	Prompt      string        `env:"-" enum:"select_account,login,consent,none" default:"select_account" help:"What the sign-in page asks: ${enum}."`
	Timeout     time.Duration `env:"-" default:"15m" help:"How long the user may take."`
}

// way returns how the user signs in. An explicit flag for another way is an error.
func (l *loginCommand) way(s *session, c *console) (func(context.Context, *account.Account) error, error) {
	atConsole := l.Console || !l.NoBrowser && !l.Listen && !l.DeviceCode && l.Port == 0 && !isTerminal(c.in)
	if l.RedirectURL != "" && !l.NoBrowser && !l.Listen && !l.DeviceCode {
		atConsole = true
	}
	switch {
	case s.ClientCredentials && (l.Console || l.NoBrowser || l.Listen || l.DeviceCode || l.Port != 0):
		return nil, usageError("--client-credentials signs the application itself in, without a user who needs a page or a code")
	case l.Port != 0 && (l.Console || l.DeviceCode):
		return nil, usageError("--port is for a login that waits for the browser on this machine")
	case l.Port < 0 || l.Port > 65535:
		return nil, usageError("--port is a number from 1 to 65535")
	case l.RedirectURL != "" && !atConsole || l.RedirectURL != "" && l.Port != 0:
		return nil, usageError("--redirect-url is for --console: other ways have an address of their own, or none")
	case !isRedirect(l.RedirectURL):
		return nil, usageError(noRedirect)
	case l.Timeout <= 0:
		return nil, usageError("--timeout is longer than nothing, such as 15m")
	}
	options := account.AuthOptions{Prompt: l.Prompt, Lifetime: l.Timeout}
	prompt := account.Console(c.in, c.err)
	switch {
	case l.DeviceCode:
		prompt = account.DeviceCodePrompt(c.err)
	case !atConsole:
		if l.Port != 0 {
			options.RedirectURL = "http://localhost:" + strconv.Itoa(l.Port)
		}
		prompt = account.Loopback(func(address string) error { return l.open(c, address) })
	}
	return func(ctx context.Context, a *account.Account) error {
		err := a.Authenticate(ctx, prompt, options)
		if listening := (*net.OpError)(nil); l.Port != 0 && errors.As(err, &listening) && listening.Op == "listen" {
			return &flagError{"--port", fmt.Errorf("--port %d: %w", l.Port, listening.Err)}
		}
		return err
	}, nil
}

const noRedirect = "--redirect-url is a whole URL, such as http://localhost"

// isRedirect reports whether text is an absolute URL (RFC 6749 section 3.1.2), or empty.
func isRedirect(text string) bool {
	u, err := url.Parse(text)
	return text == "" || err == nil && u.IsAbs() && isURI(text)
}

// open shows the sign-in page in the user's browser, or its address.
func (l *loginCommand) open(c *console, address string) error {
	if err := c.showLink("Open this address in a browser on this machine:\n\n%s\n", address); err != nil {
		return err
	}
	if u, err := url.Parse(address); err == nil {
		c.say("Waiting for the browser at %s.", u.Query().Get("redirect_uri"))
	}
	if l.NoBrowser || l.Listen {
		return nil
	}
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	go func() { // some browsers end with their window
		if err := browser.OpenURL(address); err != nil {
			c.say("No browser could be started here (%v): open the address yourself, or end this and sign in with --device-code or --console.", err)
		}
	}()
	return nil
}

func (l *loginCommand) Run(ctx context.Context, s *session, c *console) error {
	signIn, err := l.way(s, c)
	if err != nil {
		return err
	}
	return s.withLogin(ctx, c, l.RedirectURL, func(o *opened, a *account.Account, cfg account.Config) error {
		if cfg.App {
			return o.signInApp(ctx, c, a, cfg)
		}
		within, cancel := context.WithTimeout(ctx, l.Timeout)
		defer cancel()
		err := signIn(within, a)
		if errors.Is(err, context.DeadlineExceeded) && within.Err() != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: nobody signed in within %s", core.ErrReauthRequired, l.Timeout)
		}
		return o.loginEnds(ctx, c, a, cfg, err)
	})
}

// signInApp signs the application itself in. An interrupt doesn't lose the provider's
// answer, as in a user's sign-in.
func (o *opened) signInApp(ctx context.Context, c *console, a *account.Account, cfg account.Config) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), core.DefaultRefreshTimeout)
	defer cancel()
	err := a.Authenticate(ctx, nil, account.AuthOptions{})
	if err == nil || errors.Is(err, core.ErrRefreshedNotSaved) {
		c.say("The application %s is signed in.", cfg.ClientID)
	}
	if err == nil {
		if len(cfg.Scopes) == 0 {
			cfg.Scopes = []string{account.DefaultScope}
		}
		o.keep(ctx, c, signer{client: cfg.ClientID, host: o.query().Environment}, cfg, cfg.Scopes)
	}
	return err
}

// withLogin opens the store, and makes a table that is missing; runs do for the account to
// sign in to and its configuration, and closes the store.
func (s *session) withLogin(ctx context.Context, c *console, redirectURL string, do func(*opened, *account.Account, account.Config) error) (err error) {
	s.migrate = true
	o, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	a, cfg, err := o.loginAccount(ctx, redirectURL)
	if err != nil {
		return err
	}
	return do(o, a, cfg)
}

// loginAccount returns the account to sign in to, and its configuration. If nothing can be
// read or saved there, nobody must sign in: the code would be lost.
func (o *opened) loginAccount(ctx context.Context, redirectURL string) (*account.Account, account.Config, error) {
	cfg := o.config
	cfg.RedirectURL = redirectURL
	cache, err := o.readable(ctx)
	if err != nil {
		return nil, cfg, err
	}
	if cfg, err = o.asBefore(cache, cfg); err != nil {
		return nil, cfg, err
	}
	o.config = cfg
	a, err := o.newAccount(cfg)
	if err != nil {
		return nil, cfg, err
	}
	return a, cfg, o.writable(ctx)
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

// asBefore completes what the flags don't name by what earlier logins into the record were
// told, if all of them were told the same.
func (o *opened) asBefore(c *tokencache.Cache, cfg account.Config) (account.Config, error) {
	q := o.named()
	q.Environment = environmentIn(c, q)
	who := signers(c, q)
	if clients := distinct(who, func(w signer) string { return w.client }); cfg.ClientID == "" && len(clients) == 1 {
		cfg.ClientID = clients[0] // for another provider, the ID means nothing
	}
	var before []options
	for _, w := range who {
		if told, _ := remembered(c, w); strings.EqualFold(w.client, cfg.ClientID) {
			before = append(before, told)
		}
	}
	var common options
	if authorities := distinct(before, func(told options) string { return cmp.Or(told.authority, publicCloud) }); len(authorities) == 1 {
		common.authority = before[0].authority
	}
	if scopes := distinct(before, func(told options) string { return cmp.Or(strings.Join(told.scopes, " "), "none") }); len(scopes) == 1 && len(cfg.Scopes) == 0 {
		cfg.Scopes = before[0].scopes
	}
	if len(before) == 0 { // nothing of this client is here
		q.Environment = publicCloud
	}
	return o.complete(cfg, common, q.Environment)
}

// signers returns whose tokens q means in the record.
func signers(c *tokencache.Cache, q tokencache.Query) (all []signer) {
	users := fitting(c, q)
	for _, h := range holders(c) {
		if q.App && h.HomeAccountID == "" && msal.SameProvider(h.Environment, q.Environment) {
			all = append(all, signer{client: h.ClientID, host: h.Environment})
		}
		if h.isOneOf(c, users) {
			user, _ := c.Account(tokencache.Query{HomeAccountID: h.HomeAccountID, Environment: h.Environment})
			all = append(all, signer{user, h.ClientID, h.Environment})
		}
	}
	return all
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

package main

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/account"
)

// loginCommands are the sign-in in one process, and in two.
type loginCommands struct {
	Now    loginCommand `cmd:"" default:"withargs" help:"Sign in here and now. This is what graphtoken login does."`
	Start  loginStart   `cmd:"" help:"Begin a sign-in that login finish ends: print the address of the sign-in page."`
	Finish loginFinish  `cmd:"" help:"Finish the sign-in that login start began: read the address at which the browser ended."`
}

type loginStart struct {
	RedirectURL string        `name:"redirect-url" placeholder:"URL" help:"The redirect URL that the application is registered with. By default Microsoft's page for native clients."`
	Prompt      string        `env:"-" enum:"select_account,login,consent,none" default:"select_account" help:"What the sign-in page asks: ${enum}."`
	Timeout     time.Duration `env:"-" default:"15m" help:"How long the user may take."`
	Flow        string        `env:"-" placeholder:"FILE" help:"The file to keep the sign-in in, which is a secret. By default one for each record in your configuration directory."`
}

// Help is what kong shows below the command's first line.
func (loginStart) Help() string {
	return `The address is for a browser on any machine. Give the address at which that browser ends to login finish. What is between the two is kept in a file of your own (mode 0600), which login finish deletes. A second login start for the same record replaces the first, unless --flow names another file.`
}

func (l *loginStart) Run(ctx context.Context, s *session, c *console) error {
	switch {
	case s.ClientCredentials:
		return usageError("--client-credentials signs the application itself in, without a user: graphtoken login --client-credentials")
	case !isRedirect(l.RedirectURL):
		return usageError(noRedirect)
	case l.Timeout <= 0:
		return usageError("--timeout is longer than nothing, such as 15m")
	}
	return s.withLogin(ctx, c, l.RedirectURL, func(o *opened, a *account.Account, cfg account.Config) error {
		return l.begin(ctx, o, a, cfg, c)
	})
}

// begin keeps a new sign-in, and prints the address of its page.
func (l *loginStart) begin(ctx context.Context, o *opened, a *account.Account, cfg account.Config, c *console) error {
	path, err := flowFile(l.Flow, o)
	if err != nil {
		return err
	}
	address, flow, err := a.AuthURL(ctx, account.AuthOptions{Prompt: l.Prompt, Lifetime: l.Timeout})
	if err != nil {
		return err
	}
	if !isURI(address) {
		return fmt.Errorf("the address of the sign-in page is not a URL: %s", printable(address))
	}
	begun := pending{
		Store: o.storeOf(), Record: o.Key, ClientID: cfg.ClientID, Authority: cfg.Authority, Tenant: cfg.Tenant,
		Scopes: cfg.Scopes, User: cfg.Username, Expires: flow.Expires(),
	}
	if begun.Flow, err = flow.Marshal(); err != nil {
		return err
	}
	known, _ := trusted(cfg.Authority) // or the flags name it
	if begun.CA, err = absolute(cmp.Or(o.CA, known.CA)); err != nil {
		return err
	}
	if err := begun.begin(ctx, path); err != nil {
		return aboutFlow(l.Flow, fmt.Errorf("the sign-in can't be kept in %s: %w", path, err))
	}
	if _, err := fmt.Fprintln(c.out, address); err != nil {
		return err
	}
	finish := "graphtoken login finish"
	if l.Flow != "" {
		finish += " --flow " + l.Flow
	}
	c.say("Open this address in a browser, before %s. Then run %s, and give it the address at which the browser ends.", flow.Expires().Local().Format(time.DateTime), finish)
	return nil
}

// absolute is a path that another process, in another directory, can use.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

type loginFinish struct {
	Flow string `env:"-" placeholder:"FILE" help:"The file that login start was told to keep the sign-in in."`
}

// Help is what kong shows below the command's first line.
func (loginFinish) Help() string {
	return `The address comes from the standard input, and from no argument, because the code in it is a secret. Application, provider, tenant, scopes and user are those of login start. The record is named again, if login start was told one.`
}

func (l *loginFinish) Run(ctx context.Context, s *session, c *console) (err error) {
	o, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	path, err := flowFile(l.Flow, o)
	if err != nil {
		return err
	}
	begun, flow, err := readPending(path)
	switch {
	case errors.Is(err, errNotBegun):
		return fmt.Errorf("%w for the record %s in %s", err, o.Key, o)
	case errors.Is(err, account.ErrFlowUsed):
		return err
	case err != nil:
		return aboutFlow(l.Flow, err)
	}
	if err := begun.isOf(o); err != nil {
		return err
	}
	if !time.Now().Before(flow.Expires()) {
		return errors.Join(account.ErrFlowExpired, os.Remove(path)) // it is of no use any more
	}
	if s.CA == "" {
		s.CA = begun.CA
	}
	if o.config.HTTPClient, err = s.httpClient(); err != nil {
		return err
	}
	cfg := begun.config(o.config)
	a, err := o.newAccount(cfg)
	if err != nil {
		return err
	}
	// The code is good once: it must not be lost because nothing can be saved.
	if _, err := o.readable(ctx); err != nil {
		return err
	}
	if err := o.writable(ctx); err != nil {
		return err
	}
	within, cancel := context.WithDeadline(ctx, flow.Expires())
	defer cancel()
	redirect, err := account.ReadRedirect(within, c.in, c.err)
	if err != nil {
		if within.Err() != nil && ctx.Err() == nil {
			err = account.ErrFlowExpired
		}
		return err
	}
	// Another address leaves the sign-in as it is, for the right one.
	if !hasState(redirect, flow.State()) {
		return account.ErrStateMismatch
	}
	if err := begun.claim(ctx, path); err != nil {
		return err
	}
	return o.loginEnds(ctx, c, a, cfg, a.SignIn(ctx, flow, redirect))
}

// hasState reports whether a redirect belongs to the flow with this state.
func hasState(redirect, state string) bool {
	_, query, found := strings.Cut(redirect, "?")
	if !found {
		query = redirect
	}
	query, _, _ = strings.Cut(query, "#")
	params, err := url.ParseQuery(query)
	return err == nil && subtle.ConstantTimeCompare([]byte(params.Get("state")), []byte(state)) == 1
}
